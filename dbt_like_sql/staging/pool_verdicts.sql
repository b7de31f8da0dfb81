-- Verdicts of each pool's shards, counted.
-- grain: output_id, verdict, reason
-- incremental: output_id
SELECT output_id, verdict, reason, count(*) AS responses, sum(seconds) AS seconds
FROM records.verdicts
GROUP BY output_id, verdict, reason
