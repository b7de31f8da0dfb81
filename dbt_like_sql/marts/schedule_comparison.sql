-- Does it pay to repeat data? Runs of one model on the same data (or its first rows), as many steps long, at
-- their ends: the paper's Table 1. The reference is the setting that reads the most rows, on the most passes.
-- grain: source, run, benchmark, grader, metric, protocol
-- column passes: epochs over the set
-- column rows_read: rows times passes
-- column reference: the arm that the others are compared with; reference_run is its run of the same seed
-- column difference: to the reference setting, on the same items
-- column arm_difference: the same, seed by seed, mean over the training seeds
-- column arm_difference_low: 95 % interval in which items and training seeds vary; with one seed, items only
WITH settings AS (
    SELECT
        r.*,
        CASE WHEN d.recipe = 'first-rows' THEN d.based_on ELSE r.dataset END AS data_family,
        r.rows * r.epochs AS rows_read
    FROM declared.runs r
    JOIN declared.datasets d USING (dataset)
),

ranked AS (
    SELECT
        *,
        first_value(arm) OVER (
            PARTITION BY model, data_family, total_steps ORDER BY rows_read DESC, epochs DESC, arm
        ) AS reference,
        count(DISTINCT arm) OVER (PARTITION BY model, data_family, total_steps) AS settings
    FROM settings
),

referred AS (
    SELECT s.*, r.run AS reference_run
    FROM ranked s
    LEFT JOIN declared.runs r ON r.arm = s.reference AND r.seed = s.seed
)

SELECT
    p.source,
    p.study,
    p.model,
    s.data_family,
    s.total_steps,
    p.run,
    p.dataset,
    p.schedule,
    s.rows,
    s.epochs AS passes,
    s.batch_size,
    s.rows_read,
    s.lr,
    s.decay,
    p.seed,
    p.benchmark,
    p.title,
    p.benchmark_group,
    p.position,
    p.grader,
    p.metric,
    p.is_headline,
    p.unit,
    p.lower_is_better,
    p.value,
    p.items,
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
    da.arm_method,
    count(*) OVER arms AS seeds,
    avg(p.value) OVER arms AS seed_mean,
    CASE WHEN p.run = s.reference_run THEN 'the reference itself' ELSE coalesce(d.method, 'reference not scored') END
        AS method,
    p.protocol,
    p.trace
FROM referred s
JOIN staging.score_points p ON p.run = s.run AND p.is_last
LEFT JOIN staging.score_points r
    ON r.run = s.reference_run AND r.is_last AND r.source = p.source AND r.benchmark = p.benchmark
    AND r.grader = p.grader AND r.metric = p.metric AND r.protocol = p.protocol
LEFT JOIN staging.differences d
    ON d.point_id = p.point_id AND d.other_point_id = r.point_id AND d.grader = p.grader AND d.metric = p.metric
LEFT JOIN staging.arm_differences da
    ON da.point_id = p.point_id AND da.other_point_id = r.point_id AND da.grader = p.grader AND da.metric = p.metric
WHERE s.settings > 1
WINDOW arms AS (PARTITION BY p.source, p.arm, p.benchmark, p.grader, p.metric, p.protocol)
ORDER BY p.source, p.model, s.data_family, s.total_steps, s.rows_read DESC, p.run, p.position, p.grader, p.metric
