-- A share outside 0 to 1, or an interval that leaves out its own value.
SELECT trace, grader, metric, value, low, high
FROM marts.benchmark_scores
WHERE state = 'scored'
    AND (
        (unit = 'share' AND value NOT BETWEEN 0 AND 1)
        OR low > value + 1e-9
        OR high < value - 1e-9
    )
