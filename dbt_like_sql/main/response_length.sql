-- How long the answers are at each step, and what their growth over the untrained model is made of.
-- Classes of answers, and means over training seeds: marts.response_length.
-- grain: run, step, benchmark
SELECT study, model, run_title, run, step, benchmark, answers, mean_tokens, median_tokens, truncation_rate, loop_rate,
    growth, growth_real, growth_no_end_token, growth_loops, growth_cut, trace
FROM marts.response_length
JOIN (SELECT run, run_title FROM declared.runs) USING (run)
