-- What each item scored, over its samples: the unit that intervals and paired differences are made from.
-- grain: output_id, grader, metric, item_id
-- incremental: output_id
-- column value: mean over the samples that were scored; null where none was
SELECT
    output_id,
    grader,
    metric,
    item_id,
    avg(value) AS value,
    count(value)::SMALLINT AS scored,
    count(*)::SMALLINT AS samples
FROM records.graded
GROUP BY output_id, grader, metric, item_id
