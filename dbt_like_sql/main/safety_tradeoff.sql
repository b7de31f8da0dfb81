-- What the reasoning gain of each run cost in safety: forbidden requests answered, or the benchmark's own measure of harm.
-- Refusals of allowed requests, other graders, and the twin without thinking in full: marts.safety_tradeoff.
-- grain: source, run, step, safety_benchmark
SELECT source, study, model, run_title, dataset, thinking, run, step, reasoning_gain, safety_benchmark, reading,
    safety_base_value, safety_value, harm, harm_low, harm_high, is_harm_beyond_noise, harm_over_twin, trace
FROM marts.safety_tradeoff
JOIN (SELECT run, run_title FROM declared.runs) USING (run)
WHERE is_default
