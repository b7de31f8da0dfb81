-- Our score minus the published one, cell by cell, for the headline metric. All metrics: marts.reproduction_gap.
-- grain: run, step, benchmark
SELECT study, model, run_title, run, step, benchmark, metric, ours, paper, gap, gap_low, gap_high, class, paper_table,
    trace
FROM marts.reproduction_gap
JOIN (SELECT run, run_title FROM declared.runs) USING (run)
WHERE is_headline
