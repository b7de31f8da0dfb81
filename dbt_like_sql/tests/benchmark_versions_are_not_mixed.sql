-- Scores that stand on another version of a benchmark than the one locked now: not comparable with the others.
-- severity: warn
SELECT DISTINCT benchmark, benchmark_version, protocol, left(benchmark_digest, 12) AS lock
FROM marts.benchmark_scores
WHERE benchmark_version > 1
