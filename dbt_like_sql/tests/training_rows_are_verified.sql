-- A training row whose response was not judged correct, in a set whose recipe promises it.
SELECT e.dataset, e.row, e.response_id, e.verdict
FROM staging.dataset_rows e
JOIN declared.datasets d USING (dataset)
WHERE d.recipe = 'one-correct' AND e.verdict IS NOT NULL AND e.verdict <> 'correct'
