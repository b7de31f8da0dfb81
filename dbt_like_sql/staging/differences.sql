-- Every difference asked for, item by item where both sides have items, else from the two scores alone.
-- grain: point_id, other_point_id, grader, metric
-- column method: paired items; or unpaired, where only the two scores are known; or no interval
-- column low: 95 % interval of this one difference
-- column t95: half-width of the 95 % interval in standard errors
WITH differing AS (
    SELECT
        c.point_id,
        c.other_point_id,
        a.grader,
        a.metric,
        p.pairs,
        coalesce(p.difference, a.value - b.value) AS difference,
        coalesce(p.centre, a.value - b.value) AS centre,
        coalesce(p.se, sqrt(a.se ** 2 + b.se ** 2)) AS spread,
        nullif(coalesce(p.freedom, least(a.items, b.items) - 1), 0) AS freedom,
        CASE WHEN p.se IS NOT NULL THEN 'paired items' ELSE 'unpaired' END AS way
    FROM staging.comparisons c
    JOIN staging.score_points a ON a.point_id = c.point_id
    JOIN staging.score_points b ON b.point_id = c.other_point_id AND b.grader = a.grader AND b.metric = a.metric
    LEFT JOIN staging.paired_differences p
        ON p.point_id = c.point_id AND p.other_point_id = c.other_point_id
        AND p.grader = a.grader AND p.metric = a.metric
)

SELECT
    * EXCLUDE (spread, way),
    -- Where every item changed by as much, the spread is 0 or what rounding left of it, and says nothing.
    CASE WHEN spread > 1e-6 * abs(centre) AND freedom IS NOT NULL THEN spread END AS se,
    CASE WHEN se IS NULL THEN 'no interval' ELSE way END AS method,
    1.959964
    + (1.959964 ** 3 + 1.959964) / (4 * freedom)
    + (5 * 1.959964 ** 5 + 16 * 1.959964 ** 3 + 3 * 1.959964) / (96 * freedom ** 2) AS t95,
    centre - t95 * se AS low,
    centre + t95 * se AS high,
    coalesce(low > 0 OR high < 0, false) AS beyond_noise
FROM differing
