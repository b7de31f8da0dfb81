-- Which data? Runs of one model under one schedule on different sets, at their ends: the paper's Table 2.
-- Each is compared with the untrained model and with the set that the study uses most.
-- Whether the untrained model or the reference is beaten is asked of many arms and benchmarks at once, so each p value is
-- corrected by Holm's method: over all arms and benchmarks of the same study and grader that are compared in this way,
-- safety apart, and headline metrics apart from others.
-- grain: source, run, benchmark, grader, metric, protocol
-- column run_group: the benchmark's group for this run; in domain is the kind of question that it was trained on
-- column gain: over the untrained model, on the same items
-- column difference: to the run on the reference set, on the same items
-- column arm_gain: the gain, mean over the training seeds of this model, set and schedule
-- column arm_gain_low: 95 % interval in which items and training seeds vary; with one seed, items only
-- column is_arm_gain_confirmed: arm_gain_holm_p is 0.05 at most and the interval leaves out 0: what the report counts
-- column arm_difference: the difference to the reference set, seed by seed, mean over the seeds
-- column seed_mean: mean score over the training seeds that were scored
WITH used AS (
    SELECT study, dataset, count(*) AS runs FROM declared.runs GROUP BY ALL
),

-- One reference set for a model and schedule, whichever seeds each set was trained with.
ranked AS (
    SELECT
        r.model,
        r.schedule,
        r.run,
        r.dataset,
        r.seed,
        d.thinking,
        d.recipe,
        first_value(r.dataset) OVER (PARTITION BY r.model, r.schedule ORDER BY u.runs DESC, r.dataset) AS reference
    FROM declared.runs r
    JOIN declared.datasets d ON d.dataset = r.dataset
    JOIN used u ON u.study = r.study AND u.dataset = r.dataset
),

referred AS (
    SELECT s.*, r.run AS reference_run
    FROM ranked s
    LEFT JOIN declared.runs r
        ON r.model = s.model AND r.schedule = s.schedule AND r.seed = s.seed AND r.dataset = s.reference
)

SELECT
    p.source,
    p.study,
    p.model,
    p.schedule,
    p.run,
    p.dataset,
    s.recipe,
    s.thinking,
    p.seed,
    p.step,
    p.benchmark,
    p.title,
    p.benchmark_group,
    p.run_group,
    p.position,
    p.grader,
    p.metric,
    p.is_headline,
    p.is_default,
    p.unit,
    p.lower_is_better,
    b.value AS base_value,
    p.value,
    p.items,
    g.difference AS gain,
    g.low AS gain_low,
    g.high AS gain_high,
    coalesce(g.beyond_noise, false) AS is_gain_beyond_noise,
    ga.arm_difference AS arm_gain,
    ga.arm_low AS arm_gain_low,
    ga.arm_high AS arm_gain_high,
    coalesce(ga.arm_beyond_noise, false) AS is_arm_gain_beyond_noise,
    holm(ga.arm_p, list(DISTINCT {p: ga.arm_p, id: ga.arm_id, metric: p.metric}) OVER family) AS arm_gain_holm_p,
    coalesce(ga.arm_beyond_noise AND arm_gain_holm_p <= 0.05, false) AS is_arm_gain_confirmed,
    s.reference,
    s.reference_run,
    coalesce(p.run = s.reference_run, false) AS is_reference,
    d.difference,
    d.low AS difference_low,
    d.high AS difference_high,
    coalesce(d.beyond_noise, false) AS beyond_noise,
    da.arm_difference,
    da.arm_low AS arm_difference_low,
    da.arm_high AS arm_difference_high,
    coalesce(da.arm_beyond_noise, false) AS is_arm_beyond_noise,
    holm(da.arm_p, list(DISTINCT {p: da.arm_p, id: da.arm_id, metric: p.metric}) OVER family) AS arm_difference_holm_p,
    coalesce(da.arm_beyond_noise AND arm_difference_holm_p <= 0.05, false) AS is_arm_difference_confirmed,
    da.arm_method,
    coalesce(d.method, CASE WHEN p.run = s.reference_run THEN 'the reference itself' ELSE 'reference not scored' END)
        AS method,
    count(*) OVER arms AS seeds,
    avg(p.value) OVER arms AS seed_mean,
    min(p.value) OVER arms AS seed_lowest,
    max(p.value) OVER arms AS seed_highest,
    p.protocol,
    p.trace
FROM referred s
JOIN staging.score_points p ON p.run = s.run AND p.is_last
LEFT JOIN staging.score_points b ON b.point_id = p.base_point_id AND b.grader = p.grader AND b.metric = p.metric
LEFT JOIN staging.differences g
    ON g.point_id = p.point_id AND g.other_point_id = p.base_point_id AND g.grader = p.grader AND g.metric = p.metric
LEFT JOIN staging.score_points r
    ON r.run = s.reference_run AND r.is_last AND r.source = p.source AND r.benchmark = p.benchmark
    AND r.grader = p.grader AND r.metric = p.metric AND r.protocol = p.protocol
LEFT JOIN staging.differences d
    ON d.point_id = p.point_id AND d.other_point_id = r.point_id AND d.grader = p.grader AND d.metric = p.metric
LEFT JOIN staging.arm_differences ga
    ON ga.point_id = p.point_id AND ga.other_point_id = p.base_point_id AND ga.grader = p.grader AND ga.metric = p.metric
LEFT JOIN staging.arm_differences da
    ON da.point_id = p.point_id AND da.other_point_id = r.point_id AND da.grader = p.grader AND da.metric = p.metric
WINDOW
    arms AS (PARTITION BY p.source, p.arm, p.benchmark, p.grader, p.metric, p.protocol),
    family AS (PARTITION BY p.source, p.study, p.grader, p.is_headline, p.benchmark_group = 'safety')
ORDER BY p.source, p.study, p.model, p.schedule, p.dataset, p.seed, p.position, p.grader, p.metric
