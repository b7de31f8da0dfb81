-- Verdicts per query of each pool's shards: how often the teacher got it right.
-- grain: output_id, query_id
-- incremental: output_id
SELECT
    output_id,
    query_id,
    count(*) AS responses,
    count(*) FILTER (WHERE verdict = 'correct') AS correct
FROM records.verdicts
GROUP BY output_id, query_id
