-- A metric that a grader gives and its benchmark does not declare: it has no headline, unit or direction.
-- severity: warn
SELECT DISTINCT benchmark, metric
FROM marts.benchmark_scores
WHERE is_headline IS NULL
