-- The gain of each run at its last step, with the size of its model.
-- All graders and metrics, and means over training seeds: marts.capability_curves.
-- grain: source, run, benchmark, protocol
SELECT source, study, model, run_title, parameters, dataset, schedule, seed, run, benchmark, metric, base_value,
    end_value, gain, gain_low, gain_high, is_gain_beyond_noise, protocol, trace
FROM marts.capability_curves
JOIN (SELECT run, run_title FROM declared.runs) USING (run)
WHERE is_default
