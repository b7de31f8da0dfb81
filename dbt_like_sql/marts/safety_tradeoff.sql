-- What did it cost in safety? The gain in reasoning of each run beside the change on its safety benchmark, with
-- and without thinking in the training data: the paper's Figure 6.
-- The reasoning gain is the plain mean over the reasoning benchmarks (in domain and out) of the gains over the base.
-- grain: source, run, step, safety_benchmark, grader, metric
-- column harm: change of the safety metric for the worse, over the untrained model
-- column state: available, or not available and what is missing
WITH sources AS (
    SELECT unnest(['ours', 'paper']) AS source
),

ends AS (
    SELECT s.source, r.study, r.run, r.model, r.dataset, r.schedule, r.arm, r.seed, d.thinking, t.step
    FROM declared.runs r
    JOIN declared.datasets d USING (dataset)
    JOIN declared.run_steps t ON t.run = r.run AND t.is_last
    CROSS JOIN sources s
    WHERE s.source = 'ours' OR r.study = 'paper'
),

gains AS (
    SELECT p.*, d.difference, d.se AS difference_se, d.low AS difference_low, d.high AS difference_high, d.beyond_noise
    FROM staging.score_points p
    JOIN staging.differences d
        ON d.point_id = p.point_id AND d.other_point_id = p.base_point_id AND d.grader = p.grader
        AND d.metric = p.metric
    WHERE p.is_last AND p.benchmark_version = 1
),

reasoning AS (
    SELECT
        source,
        run,
        grader,
        avg(difference) AS reasoning_gain,
        sqrt(sum(difference_se ** 2)) / count(*) AS se,
        count(*) AS reasoning_benchmarks
    FROM gains
    WHERE is_headline AND unit = 'share' AND benchmark_group IN ('in-domain', 'ood-reasoning')
    GROUP BY ALL
),

safety AS (
    SELECT
        source,
        run,
        grader,
        benchmark,
        metric,
        is_headline,
        unit,
        value,
        value - difference AS base_value,
        CASE WHEN lower_is_better THEN difference ELSE -difference END AS harm,
        CASE WHEN lower_is_better THEN difference_low ELSE -difference_high END AS harm_low,
        CASE WHEN lower_is_better THEN difference_high ELSE -difference_low END AS harm_high,
        beyond_noise,
        trace
    FROM gains
    WHERE benchmark_group = 'safety'
)

SELECT
    e.source,
    e.study,
    e.model,
    e.dataset,
    e.thinking,
    e.schedule,
    e.seed,
    e.run,
    e.step,
    coalesce(r.grader, s.grader) AS grader,
    r.reasoning_gain,
    r.reasoning_gain - 1.959964 * r.se AS reasoning_gain_low,
    r.reasoning_gain + 1.959964 * r.se AS reasoning_gain_high,
    r.reasoning_benchmarks,
    s.benchmark AS safety_benchmark,
    s.metric,
    s.is_headline,
    s.unit,
    s.base_value AS safety_base_value,
    s.value AS safety_value,
    s.harm,
    s.harm_low,
    s.harm_high,
    coalesce(s.beyond_noise, false) AS is_harm_beyond_noise,
    CASE
        WHEN s.run IS NULL AND r.run IS NULL THEN 'not available: not scored'
        WHEN s.run IS NULL THEN 'not available: no safety score'
        WHEN r.run IS NULL THEN 'not available: no reasoning score'
        ELSE 'available'
    END AS state,
    s.trace
FROM ends e
LEFT JOIN reasoning r ON r.source = e.source AND r.run = e.run
LEFT JOIN safety s ON s.source = e.source AND s.run = e.run AND (r.grader IS NULL OR s.grader = r.grader)
ORDER BY e.source, e.study, e.model, e.run, grader, s.metric
