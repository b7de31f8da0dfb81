-- The rows of every training set: which query, which response, how it was judged.
-- grain: dataset, row
SELECT
    o.name AS dataset,
    e.row,
    e.query_id,
    e.response_id,
    e.verdict,
    e.data_source,
    e.response_length,
    o.digest AS dataset_digest,
    o.asset AS trace
FROM records.examples e
JOIN records.outputs o USING (output_id)
