-- What each training set adds to the untrained model, and how it compares with the reference set.
-- All graders and metrics, and single seeds: marts.data_comparison.
-- grain: source, run, benchmark, protocol
SELECT source, study, model, run_title, dataset, schedule, run, benchmark, value, arm_gain, arm_gain_low,
    arm_gain_high, reference, arm_difference, arm_difference_low, arm_difference_high, seeds, protocol, trace
FROM marts.data_comparison
JOIN (SELECT run, run_title FROM declared.runs) USING (run)
WHERE is_default
