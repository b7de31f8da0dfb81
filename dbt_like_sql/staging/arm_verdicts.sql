-- What is said of each arm: does it dip and come back, does it end below where it was? Over all arms and benchmarks of a
-- study each of the two questions is asked many times, so that some would be answered with yes by chance. Holm's method
-- corrects for that; it needs no assumption on how the answers depend on each other (arms share bases and items).
-- grain: source, run, benchmark, grader, metric, protocol
-- column asked: arms and benchmarks that Holm's method corrects for: those of the same study and grader with three steps
-- or more and an interval, safety apart, and headline metrics apart from others
WITH parts AS (
    SELECT
        v.*,
        f.change AS fall,
        f.low AS fall_low,
        f.high AS fall_high,
        r.change AS rise,
        r.low AS rise_low,
        r.high AS rise_high,
        e.change AS erosion,
        e.low AS erosion_low,
        e.high AS erosion_high,
        -- A valley needs both, so the less clear of the two decides; where there is nothing to see, nothing is found.
        CASE
            WHEN v.steps < 3 THEN NULL
            WHEN v.valley_step IS NULL THEN 1
            WHEN f.p IS NOT NULL AND r.p IS NOT NULL THEN greatest(f.p, r.p)
        END AS valley_p,
        CASE WHEN v.steps < 3 THEN NULL WHEN v.erosion_step IS NULL THEN 1 ELSE e.p END AS erosion_p,
        p.study,
        p.is_headline,
        p.benchmark_group = 'safety' AS is_safety
    FROM staging.valleys v
    JOIN staging.score_points p ON p.point_id = v.end_id AND p.grader = v.grader AND p.metric = v.metric
    LEFT JOIN staging.valley_changes f
        ON f.source = v.source AND f.run = v.run AND f.benchmark = v.benchmark AND f.grader = v.grader
        AND f.metric = v.metric AND f.protocol = v.protocol AND f.part = 'fall'
    LEFT JOIN staging.valley_changes r
        ON r.source = v.source AND r.run = v.run AND r.benchmark = v.benchmark AND r.grader = v.grader
        AND r.metric = v.metric AND r.protocol = v.protocol AND r.part = 'rise'
    LEFT JOIN staging.valley_changes e
        ON e.source = v.source AND e.run = v.run AND e.benchmark = v.benchmark AND e.grader = v.grader
        AND e.metric = v.metric AND e.protocol = v.protocol AND e.part = 'erosion'
)

SELECT
    * EXCLUDE (study, is_headline, is_safety),
    CASE WHEN valley_p IS NOT NULL
        THEN count(DISTINCT (arm, benchmark, metric, protocol)) FILTER (valley_p IS NOT NULL) OVER family
    END AS asked,
    holm(valley_p, list(DISTINCT {p: valley_p, of: (arm, benchmark, metric, protocol)}) OVER family) AS valley_holm_p,
    holm(erosion_p, list(DISTINCT {p: erosion_p, of: (arm, benchmark, metric, protocol)}) OVER family)
        AS erosion_holm_p
FROM parts
-- Once for each arm, whatever the number of its runs.
WINDOW family AS (PARTITION BY source, study, grader, is_headline, is_safety)
