-- Whether the score of each run falls and rises again, and how many items would settle it.
-- All graders and metrics, and what holds over all training seeds: marts.dip_and_recovery.
-- grain: source, run, benchmark, protocol
SELECT source, study, model, run_title, run, benchmark, shape, is_arm_valley_confirmed, arm_valley_holm_p,
    peak_step, dip_step, depth, fall_low, fall_high, recovery_step, end_step, items_to_settle, protocol, trace
FROM marts.dip_and_recovery
JOIN (SELECT run, run_title FROM declared.runs) USING (run)
WHERE is_default
