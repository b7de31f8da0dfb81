-- Ten questions to results.duckdb. All at once: duckdb -readonly .rsft/results.duckdb < examples.sql
-- Names without a schema are the narrow views: one row a score. The wide tables with all graders are in marts.

-- 1. What is done, and what is missing?
SELECT run, trained, steps, done, missing, next FROM runs ORDER BY missing DESC, run;

-- 2. What did each run gain over the untrained model on each benchmark?
SELECT run, benchmark, base_value, end_value, gain, gain_low, gain_high
FROM capability_curves
WHERE source = 'ours'
ORDER BY gain DESC;

-- 3. Which runs dip and recover, and how many items would settle the others?
SELECT run, benchmark, shape, dip_step, recovery_step, items_to_settle
FROM dip_and_recovery
WHERE source = 'ours'
ORDER BY shape, run;

-- 4. Which training set is best for each benchmark, as a mean over training seeds?
SELECT DISTINCT model, benchmark, dataset, schedule, arm_gain, arm_gain_low, arm_gain_high
FROM data_comparison
WHERE source = 'ours'
QUALIFY arm_gain = max(arm_gain) OVER (PARTITION BY model, benchmark)
ORDER BY model, benchmark;

-- 5. How many forbidden requests are answered after training, and how many before?
SELECT run, safety_benchmark, reading, safety_base_value, safety_value, harm, harm_low, harm_high
FROM safety_tradeoff
WHERE source = 'ours'
ORDER BY harm DESC;

-- 6. How long are the answers, and how many are cut off?
SELECT run, step, benchmark, mean_tokens, truncation_rate
FROM response_length
ORDER BY truncation_rate DESC, mean_tokens DESC
LIMIT 20;

-- 7. Where do the two graders disagree most?
SELECT run, step, benchmark, strict, authors, authors - strict AS more
FROM (PIVOT (SELECT run, step, benchmark, grader, value FROM marts.benchmark_scores WHERE is_headline)
    ON grader IN ('strict', 'authors') USING any_value(value) GROUP BY run, step, benchmark)
ORDER BY abs(more) DESC NULLS LAST
LIMIT 20;

-- 8. What did a model answer wrongly at the end of its run?
SELECT run, step, benchmark, question, gold, answer, reason
FROM texts
JOIN (
    SELECT run, step, benchmark FROM score_trajectories
    WHERE source = 'ours' AND is_last AND value < 1 ORDER BY run, benchmark LIMIT 1
) USING (run, step, benchmark)
WHERE verdict = 'wrong'
ORDER BY item, sample
LIMIT 5;

-- 9. Which rows was a score trained on, and how often was each read?
SELECT e.query_id, e.response_id, count(*) AS times_read
FROM records.seen s
JOIN records.outputs o ON o.output_id = s.output_id
JOIN declared.runs r ON r.run = o.run
JOIN staging.dataset_rows e ON e.dataset = r.dataset AND e.row = s.row
WHERE s.step <= 40 AND r.run = (SELECT min(run) FROM runs WHERE trained = steps)
GROUP BY e.query_id, e.response_id
ORDER BY times_read DESC, e.query_id
LIMIT 20;

-- 10. What does a column mean, and which tables have it?
SELECT schema_name, table_name, column_name, comment
FROM duckdb_columns()
WHERE NOT internal AND column_name = 'protocol'
ORDER BY schema_name, table_name;
