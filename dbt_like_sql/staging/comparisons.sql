-- Pairs of scores whose difference is needed: a checkpoint with its base, a dip with the peak before
-- it and with the end after it, the end with the best step, in every seed of an arm the arm's valley with its peak and
-- its top and the end with the best step before it, two runs of a model at their last steps.
-- grain: point_id, other_point_id
SELECT DISTINCT point_id, base_point_id AS other_point_id
FROM staging.score_points
WHERE base_point_id <> point_id
UNION
SELECT dip_id, peak_id
FROM staging.deepest_falls
WHERE dip_id IS NOT NULL
UNION
SELECT end_id, dip_id
FROM staging.deepest_falls
WHERE dip_id <> end_id
UNION
SELECT end_id, best_id
FROM staging.best_steps
WHERE best_id <> end_id
UNION
SELECT point_id, other_point_id
FROM staging.valley_pairs
UNION
SELECT DISTINCT a.point_id, b.point_id
FROM staging.score_points a
JOIN staging.score_points b
    ON b.source = a.source AND b.model = a.model AND b.benchmark = a.benchmark AND b.protocol = a.protocol
    AND b.grader = a.grader AND b.metric = a.metric AND b.seed = a.seed AND b.run <> a.run
WHERE a.is_last AND b.is_last
