-- Of every trajectory the end, the best trained step, and the untrained model.
-- grain: source, run, benchmark, grader, metric, protocol
WITH points AS (
    SELECT *, CASE WHEN lower_is_better THEN -value ELSE value END AS good FROM staging.score_points WHERE step > 0
)

SELECT
    source,
    run,
    benchmark,
    grader,
    metric,
    protocol,
    count(*) AS trained_steps,
    max(step) AS end_step,
    arg_max(point_id, step) AS end_id,
    arg_max(base_point_id, step) AS base_id,
    -- Of equal ones the earliest: what came after it added nothing.
    arg_max(step, good - step * 1e-12) AS best_step,
    arg_max(point_id, good - step * 1e-12) AS best_id
FROM points
GROUP BY source, run, benchmark, grader, metric, protocol
