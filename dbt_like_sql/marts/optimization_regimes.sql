-- Has a run trained too little, enough, or too much? By levels, benchmark by benchmark: the paper's Figure 4. What counts
-- is beyond noise in intervals that hold for all pairs of steps together, the base among them (max-T), and after Holm's
-- correction as well. That is made twice, for where the end stands against the base and for whether it fell below a step
-- that stood above the base, each over all runs and benchmarks of the same study and grader with three trained steps or
-- more, safety apart, and headline metrics apart from others.
-- over-fitted: a trained step stood above the base, and the end is below it.
-- optimal: the end is above the base and not below the best step.
-- under-fitted: the end is below the base, and no step stood above it: in the dip, or never to come back.
-- Otherwise undecided: the end cannot be told from the base, there are fewer than three trained steps, or no interval.
-- grain: source, run, benchmark, grader, metric, protocol
-- column is_default: the one row that stands for the score: the headline metric under the strict grader, or as published
-- column gain_holm_p: of the end against the base, corrected for the choice of steps and by Holm's method
-- column over_fitted_holm_p: the less clear of best step above base and end below best step, corrected in the same way
-- column gain: end minus base (negative is worse), with its corrected interval
-- column from_best: end minus best trained step (negative is worse), with its corrected interval
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
        g.difference AS gain,
        sign * g.centre - gw.t * g.se AS gain_low,
        sign * g.centre + gw.t * g.se AS gain_high,
        sign * b.centre - bw.t * b.se AS best_low,
        f.difference AS from_best,
        sign * f.centre - fw.t * f.se AS from_best_low,
        sign * f.centre + fw.t * f.se AS from_best_high,
        -- Bonferroni's over the pairs of steps, which for small ones is as good as max-T's.
        t.trained_steps * (t.trained_steps + 1) / 2 AS step_pairs,
        CASE WHEN t.trained_steps >= 3 THEN step_pairs * student_p(g.centre / g.se, g.freedom) END AS gain_p,
        student_p(b.centre / b.se, b.freedom) AS best_p,
        student_p(f.centre / f.se, f.freedom) AS from_best_p,
        CASE
            WHEN gain_p IS NULL THEN NULL
            WHEN t.best_id = t.end_id OR sign * b.centre <= 0 THEN 1
            WHEN best_p IS NOT NULL AND from_best_p IS NOT NULL THEN step_pairs * greatest(best_p, from_best_p)
        END AS over_fitted_p
    FROM staging.best_steps t
    LEFT JOIN declared.metrics m ON m.benchmark = t.benchmark AND m.metric = t.metric
    LEFT JOIN staging.differences g
        ON g.point_id = t.end_id AND g.other_point_id = t.base_id AND g.grader = t.grader AND g.metric = t.metric
    LEFT JOIN staging.differences b
        ON b.point_id = t.best_id AND b.other_point_id = t.base_id AND b.grader = t.grader AND b.metric = t.metric
    LEFT JOIN staging.differences f
        ON f.point_id = t.end_id AND f.other_point_id = t.best_id AND f.grader = t.grader AND f.metric = t.metric
    LEFT JOIN staging.step_widths gw
        ON gw.steps = t.trained_steps + 1 AND g.freedom >= gw.freedom AND g.freedom < gw.next_freedom
    LEFT JOIN staging.step_widths bw
        ON bw.steps = t.trained_steps + 1 AND b.freedom >= bw.freedom AND b.freedom < bw.next_freedom
    LEFT JOIN staging.step_widths fw
        ON fw.steps = t.trained_steps + 1 AND f.freedom >= fw.freedom AND f.freedom < fw.next_freedom
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
    is_headline AND (w.source = 'paper' OR j.grader IS NULL OR j.grader = 'strict') AS is_default,
    j.trained_steps,
    j.end_step,
    j.best_step,
    j.sign * j.gain AS gain,
    j.gain_low,
    j.gain_high,
    holm(j.gain_p, list(DISTINCT {p: j.gain_p, id: j.end_id, metric: j.metric}) OVER family) AS gain_holm_p,
    CASE WHEN j.best_step = j.end_step THEN 0 ELSE j.sign * j.from_best END AS from_best,
    j.from_best_low,
    j.from_best_high,
    holm(j.over_fitted_p, list(DISTINCT {p: j.over_fitted_p, id: j.end_id, metric: j.metric}) OVER family)
        AS over_fitted_holm_p,
    CASE
        WHEN j.run IS NULL THEN 'not available'
        WHEN j.trained_steps < 3 THEN 'undecided: too few steps'
        WHEN j.gain_low IS NULL OR j.best_low IS NULL THEN 'undecided: no interval'
        WHEN j.best_low > 0 AND j.from_best_high < 0 AND over_fitted_holm_p <= 0.05 THEN 'over-fitted'
        WHEN j.gain_low > 0 AND gain_holm_p <= 0.05 THEN 'optimal'
        WHEN j.gain_high < 0 AND gain_holm_p <= 0.05 THEN 'under-fitted'
        ELSE 'undecided: not told from the base'
    END AS regime,
    j.protocol,
    CASE WHEN w.source = 'ours' AND j.run IS NOT NULL
        THEN 'scores/' || w.model || '/' || w.benchmark || '[' || w.run || '|' || j.end_step || ']' END AS trace
FROM wanted w
LEFT JOIN measured j ON j.source = w.source AND j.run = w.run AND j.benchmark = w.benchmark
WINDOW family AS (
    PARTITION BY w.source, w.study, j.grader, j.metric = w.headline_metric, w.benchmark_group = 'safety'
)
ORDER BY w.source, w.study, w.model, w.run, w.position, j.grader, metric
