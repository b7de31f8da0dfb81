-- A query that stands twice in one training set.
SELECT o.asset, e.query_id, count(*) AS rows
FROM records.examples e
JOIN records.outputs o USING (output_id)
GROUP BY o.asset, e.query_id
HAVING count(*) > 1
