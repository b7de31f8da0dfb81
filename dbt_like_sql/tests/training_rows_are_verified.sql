-- A training row whose response was not judged correct, in a set whose recipe promises it.
SELECT o.asset, e.row, e.response_id, e.verdict
FROM records.examples e
JOIN records.outputs o USING (output_id)
JOIN declared.datasets d ON d.dataset = o.name
WHERE d.recipe = 'one-correct' AND e.verdict IS NOT NULL AND e.verdict <> 'correct'
