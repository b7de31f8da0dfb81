-- Scores of one benchmark made under several versions of it, settings or judges: not comparable with one another.
-- severity: warn
SELECT benchmark, benchmark_version, protocol, judge, left(benchmark_digest, 12) AS lock
FROM (
    SELECT DISTINCT benchmark, benchmark_version, protocol, judge, benchmark_digest FROM marts.benchmark_scores
)
QUALIFY benchmark_version > 1 OR count(DISTINCT protocol) OVER (PARTITION BY benchmark) > 1
ORDER BY benchmark, benchmark_version, protocol
