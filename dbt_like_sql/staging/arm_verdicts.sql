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
        CASE WHEN v.valley_step IS NULL THEN 1 WHEN f.p IS NULL OR r.p IS NULL THEN NULL ELSE greatest(f.p, r.p) END
            AS valley_p,
        CASE WHEN v.erosion_step IS NULL THEN 1 ELSE e.p END AS erosion_p,
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
),

-- Once for each arm, whatever the number of its runs.
arms AS (
    SELECT DISTINCT ON (source, arm, benchmark, grader, metric, protocol) *
    FROM parts
    WHERE steps >= 3
    ORDER BY source, arm, benchmark, grader, metric, protocol, run
),

questions AS (
    SELECT *, 'valley' AS name, valley_p AS p FROM arms WHERE valley_p IS NOT NULL
    UNION ALL
    SELECT *, 'erosion' AS name, erosion_p AS p FROM arms WHERE erosion_p IS NOT NULL
),

ordered AS (
    SELECT
        *,
        count(*) OVER family AS asked,
        row_number() OVER (family ORDER BY p, arm, benchmark, metric, protocol) AS place
    FROM questions
    WINDOW family AS (PARTITION BY source, study, grader, is_headline, is_safety, name)
),

corrected AS (
    SELECT
        *,
        max(least((asked - place + 1) * p, 1)) OVER (
            PARTITION BY source, study, grader, is_headline, is_safety, name ORDER BY place
        ) AS holm_p
    FROM ordered
)

SELECT
    p.* EXCLUDE (study, is_headline, is_safety),
    v.asked,
    v.holm_p AS valley_holm_p,
    e.holm_p AS erosion_holm_p
FROM parts p
LEFT JOIN corrected v
    ON v.source = p.source AND v.arm = p.arm AND v.benchmark = p.benchmark AND v.grader = p.grader
    AND v.metric = p.metric AND v.protocol = p.protocol AND v.name = 'valley'
LEFT JOIN corrected e
    ON e.source = p.source AND e.arm = p.arm AND e.benchmark = p.benchmark AND e.grader = p.grader
    AND e.metric = p.metric AND e.protocol = p.protocol AND e.name = 'erosion'
