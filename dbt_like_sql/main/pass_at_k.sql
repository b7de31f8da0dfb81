-- What several samples of an item are worth: pass@k and majority@k by step, with intervals.
-- All graders and metrics: marts.pass_at_k.
-- grain: run, step, benchmark, protocol, rule, k
SELECT study, model, run_title, run, step, benchmark, metric, rule, k, value, low, high, items, left_out, protocol,
    trace
FROM marts.pass_at_k
JOIN (SELECT run, run_title FROM declared.runs) USING (run)
WHERE is_default
