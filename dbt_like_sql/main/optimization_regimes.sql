-- Whether each run trained too little, enough or too long.
-- All graders and metrics, and the schedule's settings: marts.optimization_regimes.
-- grain: source, run, benchmark, protocol
SELECT source, study, model, run_title, dataset, schedule, run, benchmark, metric, regime, best_step, end_step, gain,
    from_best, protocol, trace
FROM marts.optimization_regimes
JOIN (SELECT run, run_title FROM declared.runs) USING (run)
WHERE is_default
