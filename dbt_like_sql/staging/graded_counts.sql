-- How many items and samples each score graded, taking its metrics together: a metric may apply to some items only.
-- grain: output_id, grader
-- incremental: output_id
SELECT output_id, grader, count(*) AS items, sum(samples)::BIGINT AS samples
FROM (
    SELECT output_id, grader, item_id, max(samples) AS samples FROM staging.item_scores GROUP BY ALL
)
GROUP BY output_id, grader
