-- A score whose graded rows are not one for each stored completion.
SELECT s.trace, g.grader, g.metric, g.samples, r.answers
FROM staging.score_outputs s
JOIN staging.response_shapes r ON r.completions_id = s.completions_id
JOIN (
    SELECT output_id, grader, metric, sum(samples) AS samples FROM staging.item_scores GROUP BY ALL
) g ON g.output_id = s.output_id
WHERE g.samples <> r.answers
