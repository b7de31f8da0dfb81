-- Has a run trained too little, enough, or too much? By a stated rule, benchmark by benchmark: the paper's Figure 4.
-- over-fitted: the end is below the best step by more than noise, corrected for having picked the best of all.
-- under-fitted: the end is the best step, and above the score at two thirds of the way by more than noise.
-- optimal: neither. Runs with fewer than three scored steps are undecided; those with none are not available.
-- grain: source, run, benchmark, grader, metric, protocol
-- column from_best: end minus best step (negative is worse)
-- column late_gain: end minus the last kept step within two thirds of the run
WITH sources AS (
    SELECT unnest(['ours', 'paper']) AS source
),

wanted AS (
    SELECT s.source, r.study, r.run, r.model, r.dataset, r.schedule, r.arm, r.seed, r.lr, r.epochs, r.decay,
        r.total_steps, b.benchmark, b.title, b.benchmark_group, b.position, b.headline_metric
    FROM declared.runs r
    JOIN declared.benchmarks b USING (study)
    CROSS JOIN sources s
    WHERE s.source = 'ours' OR r.study = 'paper'
),

measured AS (
    SELECT
        t.*,
        CASE WHEN m.lower_is_better THEN -1 ELSE 1 END AS sign,
        z.z,
        f.centre AS best_centre,
        f.se AS best_se,
        f.difference AS best_difference,
        f.freedom AS best_freedom,
        l.difference AS late_difference,
        CASE WHEN m.lower_is_better THEN -l.high ELSE l.low END AS late_low
    FROM staging.late_training t
    LEFT JOIN declared.metrics m ON m.benchmark = t.benchmark AND m.metric = t.metric
    LEFT JOIN seeds.corrected_z z ON z.comparisons = greatest(t.trained_steps - 1, 1)
    LEFT JOIN staging.differences f
        ON f.point_id = t.end_id AND f.other_point_id = t.best_id AND f.grader = t.grader AND f.metric = t.metric
    LEFT JOIN staging.differences l
        ON l.point_id = t.end_id AND l.other_point_id = t.late_id AND l.grader = t.grader AND l.metric = t.metric
),

judged AS (
    SELECT
        *,
        sign * best_centre + best_se * (
            z + (z ** 3 + z) / (4 * best_freedom) + (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * best_freedom ** 2)
        ) AS best_high
    FROM measured
)

SELECT
    w.source,
    w.study,
    w.model,
    w.dataset,
    w.schedule,
    w.lr,
    w.epochs,
    w.decay,
    w.total_steps,
    w.seed,
    w.run,
    w.benchmark,
    w.title,
    w.benchmark_group,
    w.position,
    j.grader,
    coalesce(j.metric, w.headline_metric) AS metric,
    coalesce(j.metric, w.headline_metric) = w.headline_metric AS is_headline,
    j.trained_steps,
    j.end_step,
    j.best_step,
    CASE WHEN j.best_step = j.end_step THEN 0 ELSE j.sign * j.best_difference END AS from_best,
    j.late_step,
    j.sign * j.late_difference AS late_gain,
    CASE
        WHEN j.run IS NULL THEN 'not available'
        WHEN j.trained_steps < 3 THEN 'undecided: too few steps'
        WHEN j.best_step <> j.end_step AND j.best_high IS NULL THEN 'undecided: no interval'
        WHEN j.best_step <> j.end_step AND j.best_high < 0 THEN 'over-fitted'
        WHEN j.best_step = j.end_step AND j.late_low IS NULL THEN 'undecided: no interval'
        WHEN j.best_step = j.end_step AND j.late_low > 0 THEN 'under-fitted'
        ELSE 'optimal'
    END AS regime,
    j.protocol,
    CASE WHEN w.source = 'ours' AND j.run IS NOT NULL
        THEN 'scores/' || w.model || '/' || w.benchmark || '[' || w.run || '|' || j.end_step || ']' END AS trace
FROM wanted w
LEFT JOIN judged j ON j.source = w.source AND j.run = w.run AND j.benchmark = w.benchmark
ORDER BY w.source, w.study, w.model, w.run, w.position, j.grader, metric
