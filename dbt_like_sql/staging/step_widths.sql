-- How wide an interval must be where two of so many steps were picked after looking: max-T over all pairs of steps, so
-- that the fall, the rise and every other difference between steps hold together.
-- grain: steps, freedom
-- column steps: steps that were looked at, the base included
-- column freedom: degrees of freedom from which the width is used, up to below `next_freedom`
-- column t: standard errors each way
SELECT
    s.steps,
    m.tenths / 10 AS freedom,
    coalesce(lead(m.tenths) OVER (PARTITION BY s.steps ORDER BY m.tenths) / 10, 'infinity'::DOUBLE) AS next_freedom,
    m.t
FROM (SELECT unnest(range(2, 101)) AS steps) s
JOIN seeds.max_t m ON m.steps = (SELECT min(more.steps) FROM seeds.max_t more WHERE more.steps >= s.steps)
