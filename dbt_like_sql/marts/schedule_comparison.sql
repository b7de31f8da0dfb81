-- Does it pay to repeat data? Runs of one model on the same data (or its first rows), as many steps long, at
-- their ends: the paper's Table 1. The reference is the setting that reads the most rows, on the most passes; of several
-- such, the one that the study uses most.
-- Where rows repeated stand against more rows seen less often, in the same batches at the same rate, so that both read
-- as much, nothing else differs: `fresh` is the arm that repeats least, and the difference to it is repetition's own.
-- An arm that is shorter or longer than the study's usual schedule on the same set stands beside that: `usual`.
-- Each of these three questions is asked of many arms and benchmarks at once, so each p value is corrected by Holm's
-- method: over all arms and benchmarks of the same study and grader that are compared in this way, safety apart, and
-- headline metrics apart from others.
-- grain: source, run, benchmark, grader, metric, protocol
-- column passes: epochs over the set
-- column rows_read: rows times passes
-- column reference: the arm that the others are compared with; reference_run is its run of the same seed
-- column difference: to the reference setting, on the same items
-- column arm_difference: the same, seed by seed, mean over the training seeds
-- column arm_difference_low: 95 % interval in which items and training seeds vary; with one seed, items only
-- column fresh: null for the arm that repeats least itself; fresh_run is its run of the same seed
-- column fresh_difference: to that arm, seed by seed, mean over the training seeds, with its interval as above
-- column fresh_seeds: training seeds that were scored on both sides of it
-- column usual: the arm of this model and set under the schedule that the study uses most; null where it has as many
-- steps
-- column usual_difference: to that arm's end, seed by seed, mean over the training seeds, with its interval as above
WITH settings AS (
    SELECT
        r.*,
        CASE WHEN d.recipe = 'first-rows' THEN d.based_on ELSE r.dataset END AS data_family,
        r.rows * r.epochs AS rows_read,
        count(*) OVER (PARTITION BY r.study, r.schedule) AS schedule_runs
    FROM declared.runs r
    JOIN declared.datasets d USING (dataset)
),

ranked AS (
    SELECT
        *,
        first_value(arm) OVER (
            PARTITION BY model, data_family, total_steps, precision
            ORDER BY rows_read DESC, epochs DESC, schedule_runs DESC, arm
        ) AS reference,
        first_value(arm) OVER (
            PARTITION BY model, data_family, total_steps, precision, batch_size, lr, decay ORDER BY epochs, arm
        ) AS least_repeated,
        first_value(arm) OVER (PARTITION BY model, dataset ORDER BY schedule_runs DESC, arm) AS usual_arm,
        count(DISTINCT arm) OVER (PARTITION BY model, data_family, total_steps, precision) AS settings
    FROM settings
),

referred AS (
    SELECT
        s.*,
        r.run AS reference_run,
        f.arm AS fresh,
        f.run AS fresh_run,
        f.rows AS fresh_rows,
        f.epochs AS fresh_passes,
        u.arm AS usual,
        u.run AS usual_run,
        u.total_steps AS usual_steps
    FROM ranked s
    LEFT JOIN declared.runs r ON r.arm = s.reference AND r.seed = s.seed
    LEFT JOIN declared.runs f ON f.arm = s.least_repeated AND f.seed = s.seed AND f.epochs < s.epochs
    LEFT JOIN declared.runs u
        ON u.arm = s.usual_arm AND u.seed = s.seed AND u.total_steps <> s.total_steps
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
    p.is_default,
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
    holm(da.arm_p, list(DISTINCT {p: da.arm_p, id: da.arm_id, metric: p.metric}) OVER family) AS arm_difference_holm_p,
    coalesce(da.arm_beyond_noise AND arm_difference_holm_p <= 0.05, false) AS is_arm_difference_confirmed,
    da.arm_method,
    s.fresh,
    s.fresh_run,
    s.fresh_rows,
    s.fresh_passes,
    fa.arm_difference AS fresh_difference,
    fa.arm_low AS fresh_difference_low,
    fa.arm_high AS fresh_difference_high,
    coalesce(fa.arm_beyond_noise, false) AS is_fresh_beyond_noise,
    holm(fa.arm_p, list(DISTINCT {p: fa.arm_p, id: fa.arm_id, metric: p.metric}) OVER family)
        AS fresh_difference_holm_p,
    coalesce(fa.arm_beyond_noise AND fresh_difference_holm_p <= 0.05, false) AS is_fresh_difference_confirmed,
    fa.seeds AS fresh_seeds,
    s.usual,
    s.usual_run,
    s.usual_steps,
    ua.arm_difference AS usual_difference,
    ua.arm_low AS usual_difference_low,
    ua.arm_high AS usual_difference_high,
    coalesce(ua.arm_beyond_noise, false) AS is_usual_beyond_noise,
    holm(ua.arm_p, list(DISTINCT {p: ua.arm_p, id: ua.arm_id, metric: p.metric}) OVER family)
        AS usual_difference_holm_p,
    coalesce(ua.arm_beyond_noise AND usual_difference_holm_p <= 0.05, false) AS is_usual_difference_confirmed,
    ua.seeds AS usual_seeds,
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
LEFT JOIN staging.score_points f
    ON f.run = s.fresh_run AND f.is_last AND f.source = p.source AND f.benchmark = p.benchmark
    AND f.grader = p.grader AND f.metric = p.metric AND f.protocol = p.protocol
LEFT JOIN staging.arm_differences fa
    ON fa.point_id = p.point_id AND fa.other_point_id = f.point_id AND fa.grader = p.grader AND fa.metric = p.metric
LEFT JOIN staging.score_points u
    ON u.run = s.usual_run AND u.is_last AND u.source = p.source AND u.benchmark = p.benchmark
    AND u.grader = p.grader AND u.metric = p.metric AND u.protocol = p.protocol
LEFT JOIN staging.arm_differences ua
    ON ua.point_id = p.point_id AND ua.other_point_id = u.point_id AND ua.grader = p.grader AND ua.metric = p.metric
WHERE s.settings > 1 OR s.usual IS NOT NULL
WINDOW
    arms AS (PARTITION BY p.source, p.arm, p.benchmark, p.grader, p.metric, p.protocol),
    family AS (PARTITION BY p.source, p.study, p.grader, p.is_headline, p.benchmark_group = 'safety')
ORDER BY p.source, p.model, s.data_family, s.total_steps, s.rows_read DESC, p.run, p.position, p.grader, p.metric
