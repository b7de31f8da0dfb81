-- Our score minus the published one, cell by cell, for the headline metric. All metrics: marts.reproduction_gap.
-- grain: run, step, benchmark
SELECT study, model, run, step, benchmark, metric, ours, paper, gap, gap_low, gap_high, class, paper_table, trace
FROM marts.reproduction_gap
WHERE is_headline
