-- How each score moves over a run, with its difference to the untrained model on the same items.
-- All graders and metrics, and means over training seeds: marts.score_trajectories.
-- grain: source, run, step, benchmark, protocol
SELECT source, study, model, run_title, run, step, is_last, benchmark, value, low, high, difference,
    difference_low, difference_high, beyond_noise, mean_tokens, truncation_rate, protocol, trace
FROM marts.score_trajectories
JOIN (SELECT run, run_title FROM declared.runs) USING (run)
WHERE is_default
