-- What did it cost in safety? The gain in reasoning of each run and the change on its safety benchmark, with
-- and without thinking in the training data: the paper's Figure 6.
-- The reasoning gain is the plain mean over the reasoning benchmarks (in domain and out) of the gains over the base.
-- Whether an arm became less safe, and whether thinking did it, is asked of many arms at once, so each p value is
-- corrected by Holm's method: over all arms of the same study and grader, all safety benchmarks, and all readings,
-- forbidden requests answered (or harm) apart from the other readings.
-- grain: source, run, step, safety_benchmark, grader, metric
-- column harm: change of the safety metric for the worse, over the untrained model
-- column reading: what the metric says in words: where a benchmark tells forbidden requests from allowed ones, each has a
-- reading of its own and the metric that mixes them has none; elsewhere the benchmark's headline reads as harm
-- column is_headline: forbidden requests answered; where the benchmark does not tell these apart, its own headline
-- column is_default: the one row that stands for the harm: the headline under the strict grader, or as published
-- column is_fall: harm is a fall of the metric (less refusal), not a rise (more compliance)
-- column arm_harm: the same, mean over the training seeds of this model, set and schedule
-- column arm_harm_low: 95 % interval in which items and training seeds vary; with one seed, items only
-- column twin_run: the run on the same rows without thinking; harm beyond the twin's is the effect of thinking
-- column twin_harm: the twin's own harm, mean over its training seeds, with its interval
-- column harm_over_twin: harm beyond the twin's, same items, mean over the seeds that both have: twin_pairs of them
-- column twin_p: p value of harm_over_twin, not corrected; null where the metric has no reading
-- column state: available, or not available and what is missing
WITH sources AS (
    SELECT unnest(['ours', 'paper']) AS source
),

ends AS (
    SELECT s.source, r.study, r.run, r.model, r.dataset, r.schedule, r.arm, r.seed, d.thinking, t.step,
        w.run AS twin_run
    FROM declared.runs r
    JOIN declared.datasets d USING (dataset)
    JOIN declared.run_steps t ON t.run = r.run AND t.is_last
    LEFT JOIN declared.datasets n ON n.based_on = r.dataset AND n.recipe = 'without-thinking'
    LEFT JOIN declared.runs w
        ON w.dataset = n.dataset AND w.model = r.model AND w.schedule = r.schedule AND w.seed = r.seed
    CROSS JOIN sources s
    WHERE s.source = 'ours' OR r.study = 'paper'
),

gains AS (
    SELECT
        p.*,
        d.difference,
        d.se AS difference_se,
        d.low AS difference_low,
        d.high AS difference_high,
        d.beyond_noise,
        CASE WHEN p.lower_is_better THEN 1 ELSE -1 END AS harmful,
        a.seeds,
        a.arm_difference,
        a.arm_low,
        a.arm_high,
        a.arm_beyond_noise,
        a.arm_p,
        a.arm_id,
        a.item_variance
    FROM staging.score_points p
    JOIN staging.differences d
        ON d.point_id = p.point_id AND d.other_point_id = p.base_point_id AND d.grader = p.grader
        AND d.metric = p.metric
    JOIN staging.arm_differences a
        ON a.point_id = p.point_id AND a.other_point_id = p.base_point_id AND a.grader = p.grader
        AND a.metric = p.metric
    WHERE p.is_last AND p.benchmark_version = 1
),

reasoning AS (
    SELECT
        source,
        run,
        arm,
        grader,
        avg(difference) AS reasoning_gain,
        sqrt(sum(difference_se ** 2)) / count(*) AS se,
        sum(coalesce(item_variance, difference_se ** 2)) / count(*) ** 2 AS arm_item_variance,
        count(*) AS reasoning_benchmarks
    FROM gains
    WHERE is_headline AND unit = 'share' AND benchmark_group IN ('in-domain', 'ood-reasoning')
    GROUP BY ALL
),

-- A seed moves all benchmarks together, so the seeds' part of the variance is taken from the mean, not from each.
reasoning_seeds AS (
    SELECT
        *,
        count(*) OVER arms AS reasoning_seeds,
        avg(reasoning_gain) OVER arms AS arm_gain,
        coalesce(var_samp(reasoning_gain) OVER arms / reasoning_seeds, 0) AS seed_variance,
        avg(arm_item_variance) OVER arms + seed_variance AS arm_variance,
        -- The items are so many beside the seeds that only the seeds cost degrees of freedom.
        CASE WHEN seed_variance > 0
            THEN greatest(floor(10 * (reasoning_seeds - 1) * (arm_variance / seed_variance) ** 2), 10)
        END AS tenths
    FROM reasoning
    WINDOW arms AS (PARTITION BY source, arm, grader, reasoning_benchmarks)
),

safety AS (
    SELECT
        source,
        run,
        dataset,
        grader,
        benchmark,
        metric,
        unit,
        value,
        value - difference AS base_value,
        harmful * difference AS harm,
        least(harmful * difference_low, harmful * difference_high) AS harm_low,
        greatest(harmful * difference_low, harmful * difference_high) AS harm_high,
        beyond_noise,
        harmful,
        seeds,
        harmful * arm_difference AS arm_harm,
        least(harmful * arm_low, harmful * arm_high) AS arm_harm_low,
        greatest(harmful * arm_low, harmful * arm_high) AS arm_harm_high,
        arm_beyond_noise,
        arm_id,
        point_id,
        protocol,
        trace,
        bool_or(metric = 'compliance') OVER (PARTITION BY source, benchmark) AS tells_apart,
        CASE
            WHEN metric = 'compliance' THEN 'forbidden requests answered'
            WHEN metric = 'over_refusal' AND tells_apart THEN 'allowed requests refused'
            WHEN metric = 'neither' AND tells_apart THEN 'requests met with neither answer nor refusal'
            WHEN is_headline AND NOT tells_apart THEN 'harm'
        END AS reading,
        coalesce(reading IN ('forbidden requests answered', 'harm'), false) AS is_harm,
        CASE WHEN reading IS NOT NULL THEN arm_p END AS harm_p
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
    r.reasoning_seeds,
    r.arm_gain AS arm_reasoning_gain,
    r.arm_gain - coalesce(t.t, 1.959964) * sqrt(r.arm_variance) AS arm_reasoning_gain_low,
    r.arm_gain + coalesce(t.t, 1.959964) * sqrt(r.arm_variance) AS arm_reasoning_gain_high,
    s.benchmark AS safety_benchmark,
    s.metric,
    coalesce(s.is_harm, false) AS is_headline,
    coalesce(s.is_harm AND (s.source = 'paper' OR s.grader = 'strict'), false) AS is_default,
    s.reading,
    s.unit,
    s.harmful < 0 AS is_fall,
    s.base_value AS safety_base_value,
    s.value AS safety_value,
    s.harm,
    s.harm_low,
    s.harm_high,
    coalesce(s.beyond_noise, false) AS is_harm_beyond_noise,
    s.seeds,
    s.arm_harm,
    s.arm_harm_low,
    s.arm_harm_high,
    coalesce(s.arm_beyond_noise, false) AS is_arm_harm_beyond_noise,
    holm(s.harm_p, list(DISTINCT {p: s.harm_p, id: s.arm_id, metric: s.metric}) OVER family) AS arm_harm_holm_p,
    coalesce(s.arm_beyond_noise AND arm_harm_holm_p <= 0.05, false) AS is_arm_harm_confirmed,
    e.twin_run,
    ws.dataset AS twin_dataset,
    ws.seeds AS twin_seeds,
    ws.arm_harm AS twin_harm,
    ws.arm_harm_low AS twin_harm_low,
    ws.arm_harm_high AS twin_harm_high,
    d.seeds AS twin_pairs,
    s.harmful * d.arm_difference AS harm_over_twin,
    least(s.harmful * d.arm_low, s.harmful * d.arm_high) AS harm_over_twin_low,
    greatest(s.harmful * d.arm_low, s.harmful * d.arm_high) AS harm_over_twin_high,
    coalesce(d.arm_beyond_noise, false) AS is_harm_over_twin_beyond_noise,
    CASE WHEN s.reading IS NOT NULL THEN d.arm_p END AS twin_p,
    holm(twin_p, list(DISTINCT {p: twin_p, id: d.arm_id, metric: s.metric}) OVER family) AS harm_over_twin_holm_p,
    coalesce(d.arm_beyond_noise AND harm_over_twin_holm_p <= 0.05, false) AS is_harm_over_twin_confirmed,
    CASE
        WHEN s.run IS NULL AND r.run IS NULL THEN 'not available: not scored'
        WHEN s.run IS NULL THEN 'not available: no safety score'
        WHEN r.run IS NULL THEN 'not available: no reasoning score'
        ELSE 'available'
    END AS state,
    s.trace
FROM ends e
LEFT JOIN reasoning_seeds r ON r.source = e.source AND r.run = e.run
LEFT JOIN safety s ON s.source = e.source AND s.run = e.run AND (r.grader IS NULL OR s.grader = r.grader)
LEFT JOIN seeds.student_t t ON t.tenths = r.tenths
LEFT JOIN safety ws
    ON ws.source = e.source AND ws.run = e.twin_run AND ws.benchmark = s.benchmark AND ws.protocol = s.protocol
    AND ws.grader = s.grader AND ws.metric = s.metric
LEFT JOIN staging.arm_differences d
    ON d.point_id = s.point_id AND d.other_point_id = ws.point_id AND d.grader = s.grader AND d.metric = s.metric
WINDOW family AS (PARTITION BY e.source, e.study, s.grader, s.is_harm)
ORDER BY e.source, e.study, e.model, e.run, grader, s.metric
