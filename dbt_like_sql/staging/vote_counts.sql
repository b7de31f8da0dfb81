-- How the samples of an item vote, where a metric reads an answer out of each: items that voted alike in one row. All
-- correct samples agree, however their answers are written; wrong ones do where the answer that was read is the same.
-- Benchmarks of one sample an item are left out.
-- grain: output_id, grader, metric, weight, correct, silent, wrong
-- incremental: output_id
-- column correct: samples with a correct answer
-- column silent: scored samples in which no answer was found; they do not vote
-- column wrong: samples of each wrong answer, most first
-- column items: items that voted so
WITH answers AS (
    SELECT
        g.output_id,
        g.grader,
        g.metric,
        g.item_id,
        g.value = 1 AS is_correct,
        CASE WHEN g.value < 1 THEN g.extracted_hash END AS answer,
        max(g.weight) AS weight,
        count(*) AS samples
    FROM records.graded g
    JOIN records.outputs o ON o.output_id = g.output_id
    JOIN declared.benchmarks b ON b.benchmark = o.benchmark AND b.samples > 1
    JOIN declared.metrics m ON m.benchmark = o.benchmark AND m.metric = g.metric AND m.is_voted
    WHERE g.value IS NOT NULL
    GROUP BY ALL
),

votes AS (
    SELECT
        output_id,
        grader,
        metric,
        item_id,
        max(weight) AS weight,
        sum(samples)::BIGINT AS scored,
        coalesce(sum(samples) FILTER (WHERE is_correct), 0)::BIGINT AS correct,
        coalesce(sum(samples) FILTER (WHERE NOT is_correct AND answer IS NULL), 0)::BIGINT AS silent,
        coalesce(list_reverse_sort(list(samples) FILTER (WHERE answer IS NOT NULL)), []) AS wrong
    FROM answers
    GROUP BY output_id, grader, metric, item_id
)

SELECT output_id, grader, metric, weight, scored, correct, silent, wrong, count(*) AS items
FROM votes
GROUP BY ALL
