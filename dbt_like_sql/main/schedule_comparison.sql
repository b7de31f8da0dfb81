-- Schedules of one model on the same data at their ends, each beside the reference schedule.
-- All graders and metrics, and other comparisons: marts.schedule_comparison.
-- grain: source, run, benchmark, protocol
SELECT source, study, model, run_title, run, rows, passes, total_steps, benchmark, metric, value, reference,
    arm_difference, arm_difference_low, arm_difference_high, is_arm_difference_confirmed, seeds, protocol, trace
FROM marts.schedule_comparison
JOIN (SELECT run, run_title FROM declared.runs) USING (run)
WHERE is_default
