-- How a score moves over a run: each step, with its paired difference to the untrained model.
-- grain: source, run, benchmark, grader, metric, protocol, step
-- column source: ours, or the paper's published numbers
-- column arm_value: mean over the training seeds of this model, set and schedule at this step
-- column arm_low: 95 % interval of that mean, in which items and training seeds vary; with one seed, items only
-- column difference: value minus the base's value, on the same items
-- column arm_gain: the same, mean over the training seeds, with its 95 % interval in which items and seeds vary
-- column beyond_noise: the 95 % interval of this one difference leaves out 0
WITH points AS (
    SELECT
        *,
        count(*) OVER arms AS seeds,
        avg(value) OVER arms AS arm_value,
        -- The items' part is not divided by the seeds, which all answer the same items: a little too wide.
        avg(se ** 2) OVER arms AS item_variance,
        coalesce(var_samp(value) OVER arms / seeds, 0) AS seed_variance,
        CASE WHEN seed_variance > 0
            THEN greatest(floor(10 * (seeds - 1) * ((item_variance + seed_variance) / seed_variance) ** 2), 10)
        END AS tenths
    FROM staging.score_points
    WINDOW arms AS (PARTITION BY source, arm, step, benchmark, grader, metric, protocol)
),

widened AS (
    SELECT p.*, coalesce(t.t, 1.959964) * sqrt(p.item_variance + p.seed_variance) AS half_width
    FROM points p
    LEFT JOIN seeds.student_t t ON t.tenths = p.tenths
)

SELECT
    p.source,
    p.study,
    p.model,
    p.dataset,
    p.schedule,
    p.seed,
    p.run,
    p.step,
    p.epoch,
    p.is_last,
    p.benchmark,
    p.title,
    p.benchmark_group,
    p.position,
    p.grader,
    p.metric,
    p.is_headline,
    p.is_default,
    p.unit,
    p.lower_is_better,
    p.value,
    p.low,
    p.high,
    p.seeds,
    p.arm_value,
    CASE WHEN p.seeds = 1 THEN p.low WHEN p.unit <> 'share' OR p.half_width IS NULL THEN p.arm_value - p.half_width
        ELSE greatest(p.arm_value - p.half_width, 0) END AS arm_low,
    CASE WHEN p.seeds = 1 THEN p.high WHEN p.unit <> 'share' OR p.half_width IS NULL THEN p.arm_value + p.half_width
        ELSE least(p.arm_value + p.half_width, 1) END AS arm_high,
    p.items,
    p.samples_per_item,
    p.truncation_rate,
    p.undecided_rate,
    p.mean_tokens,
    b.value AS base_value,
    CASE WHEN p.step = 0 THEN 0 ELSE d.difference END AS difference,
    d.low AS difference_low,
    d.high AS difference_high,
    d.pairs,
    CASE
        WHEN p.step = 0 THEN 'the base itself'
        WHEN d.method IS NULL THEN 'base not scored under this version of the benchmark'
        ELSE d.method
    END AS method,
    coalesce(d.beyond_noise, false) AS beyond_noise,
    CASE WHEN p.step = 0 THEN 0 ELSE ga.arm_difference END AS arm_gain,
    ga.arm_low AS arm_gain_low,
    ga.arm_high AS arm_gain_high,
    p.benchmark_version,
    p.protocol,
    p.point_id,
    p.trace
FROM widened p
LEFT JOIN staging.differences d
    ON d.point_id = p.point_id AND d.other_point_id = p.base_point_id AND d.grader = p.grader AND d.metric = p.metric
LEFT JOIN staging.arm_differences ga
    ON ga.point_id = p.point_id AND ga.other_point_id = p.base_point_id AND ga.grader = p.grader AND ga.metric = p.metric
LEFT JOIN staging.score_points b
    ON b.point_id = p.base_point_id AND b.grader = p.grader AND b.metric = p.metric
ORDER BY p.source, p.study, p.model, p.run, p.position, p.grader, p.metric, p.step
