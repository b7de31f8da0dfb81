-- Every score, one row each: the headline metric under the strict grader, with its interval.
-- All graders and metrics, and what the score was made from: marts.benchmark_scores.
-- grain: run, step, benchmark
SELECT study, model, run_title, dataset, schedule, seed, run, step, benchmark, metric, value, low, high, instead, items,
    truncation_rate, trace
FROM marts.benchmark_scores
WHERE is_default
