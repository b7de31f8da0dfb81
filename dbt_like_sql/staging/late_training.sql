-- Of every trajectory the end, the best trained step, and the last kept step in the first two thirds.
-- grain: source, run, benchmark, grader, metric, protocol
WITH points AS (
    SELECT
        *,
        CASE WHEN lower_is_better THEN -value ELSE value END AS good,
        max(step) OVER (PARTITION BY source, run, benchmark, grader, metric, protocol) AS end_step
    FROM staging.score_points
)

SELECT
    source,
    run,
    benchmark,
    grader,
    metric,
    protocol,
    count(*) FILTER (WHERE step > 0) AS trained_steps,
    max(end_step) AS end_step,
    arg_max(point_id, step) AS end_id,
    -- Of equal ones the earliest: what came after it added nothing.
    arg_max(step, good - step * 1e-12) FILTER (WHERE step > 0) AS best_step,
    arg_max(point_id, good - step * 1e-12) FILTER (WHERE step > 0) AS best_id,
    max(step) FILTER (WHERE step > 0 AND step <= end_step * 2 / 3) AS late_step,
    arg_max(point_id, step) FILTER (WHERE step > 0 AND step <= end_step * 2 / 3) AS late_id
FROM points
GROUP BY source, run, benchmark, grader, metric, protocol
HAVING max(step) > 0
