-- Question, answer and verdict of every scored sample, as texts. Benchmarks on safety are left out.
-- Read from the Parquet files of RSFT_HOME at the time of asking, so name a run, a step and a benchmark.
-- grain: run, step, benchmark, item_id, sample
-- column item: place of the item in the benchmark
-- column question: text of the task
-- column gold: reference answer, where the task has one
-- column answer: what the model wrote
-- column verdict: correct or wrong under the strict grader; partly where the metric lies between; else why there is none
-- column reason: why the grader says so
SELECT
    s.study,
    s.model,
    s.run,
    s.step,
    s.benchmark,
    i.position AS item,
    g.item_id,
    g.sample,
    i.question,
    i.gold,
    t.text AS answer,
    CASE
        WHEN g.state <> 'scored' THEN g.state
        WHEN g.value = CASE WHEN m.lower_is_better THEN 0 ELSE 1 END THEN 'correct'
        WHEN m.unit = 'share' AND g.value IN (0, 1) THEN 'wrong'
        ELSE 'partly'
    END AS verdict,
    g.value,
    g.reason,
    g.response_tokens,
    s.trace
FROM staging.score_outputs s
JOIN declared.metrics m ON m.benchmark = s.benchmark AND m.is_headline
JOIN records.graded g ON g.output_id = s.output_id AND g.grader = 'strict' AND g.metric = m.metric
JOIN texts.completions t ON t.output_id = s.completions_id AND t.item_id = g.item_id AND t.sample = g.sample
JOIN records.outputs b ON b.stage = 'benchmarks' AND b.benchmark = s.benchmark
JOIN texts.items i ON i.output_id = b.output_id AND i.item_id = g.item_id
