-- Two scores for one checkpoint, benchmark, grader and metric.
SELECT run, step, benchmark, grader, metric, count(*) AS scores
FROM marts.benchmark_scores
GROUP BY run, step, benchmark, grader, metric
HAVING count(*) > 1
