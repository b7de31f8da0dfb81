-- Of every trajectory the deepest fall: from the best step so far (the base counts) down to a later one.
-- "Better" takes the metric's direction into account; ties take the earlier step.
-- grain: source, run, benchmark, grader, metric, protocol
-- column recovery_step: the first step after the dip that is as good as the peak; null where none is
WITH points AS (
    SELECT *, CASE WHEN lower_is_better THEN -value ELSE value END AS good
    FROM staging.score_points
),

falls AS (
    SELECT
        a.source,
        a.run,
        a.benchmark,
        a.grader,
        a.metric,
        a.protocol,
        a.step AS peak_step,
        a.point_id AS peak_id,
        a.good AS peak_good,
        b.step AS dip_step,
        b.point_id AS dip_id,
        b.good - a.good AS fall
    FROM points a
    JOIN points b USING (source, run, benchmark, grader, metric, protocol)
    WHERE a.step < b.step
),

deepest AS (
    SELECT *
    FROM falls
    QUALIFY row_number() OVER (
        PARTITION BY source, run, benchmark, grader, metric, protocol ORDER BY fall, dip_step, peak_step
    ) = 1
),

ends AS (
    SELECT
        source,
        run,
        benchmark,
        grader,
        metric,
        protocol,
        max(step) AS end_step,
        arg_max(point_id, step) AS end_id,
        arg_max(good, step) AS end_good,
        count(*) AS steps
    FROM points
    GROUP BY ALL
)

SELECT
    e.*,
    d.* EXCLUDE (source, run, benchmark, grader, metric, protocol),
    (
        SELECT min(p.step)
        FROM points p
        WHERE p.source = d.source AND p.run = d.run AND p.benchmark = d.benchmark AND p.grader = d.grader
            AND p.metric = d.metric AND p.protocol = d.protocol AND p.step > d.dip_step AND p.good >= d.peak_good
    ) AS recovery_step
FROM ends e
LEFT JOIN deepest d USING (source, run, benchmark, grader, metric, protocol)
