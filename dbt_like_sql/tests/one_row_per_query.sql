-- A query that occurs twice in one training set.
SELECT dataset, query_id, count(*) AS rows
FROM staging.dataset_rows
GROUP BY dataset, query_id
HAVING count(*) > 1
