-- A shard whose verdicts are not one for each response.
SELECT v.asset, v.partition, count(r.response_id) AS responses, any_value(v.verdicts) AS verdicts
FROM (
    SELECT o.asset, o.name, o.partition, sum(p.responses) AS verdicts
    FROM staging.pool_verdicts p
    JOIN records.outputs o USING (output_id)
    GROUP BY ALL
) v
JOIN records.outputs o ON o.stage = 'responses' AND o.name = v.name AND o.partition = v.partition
LEFT JOIN records.responses r ON r.output_id = o.output_id
GROUP BY v.asset, v.partition
HAVING count(r.response_id) <> any_value(v.verdicts)
