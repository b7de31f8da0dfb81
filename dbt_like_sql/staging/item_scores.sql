-- What each item scored, over its samples: the unit that intervals and paired differences are made from.
-- grain: output_id, grader, metric, item_id
-- incremental: output_id
-- column weight: what the item counts in the mean over items; 1 but for IFEval's instruction level
-- column value: mean over the samples that were scored; null where none was
-- column correct: samples whose value is 1; null where one lies between 0 and 1, or none was scored
SELECT
    output_id,
    grader,
    metric,
    item_id,
    avg(value) AS value,
    max(weight) AS weight,
    count(value)::SMALLINT AS scored,
    CASE WHEN bool_and(value IN (0, 1)) THEN count(*) FILTER (WHERE value = 1)::SMALLINT END AS correct,
    count(*)::SMALLINT AS samples
FROM records.graded
GROUP BY output_id, grader, metric, item_id
