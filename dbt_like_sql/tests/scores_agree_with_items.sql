-- A published score that is not the mean of its own graded items.
SELECT p.trace, p.grader, p.metric, p.value, i.value AS from_items
FROM staging.score_points p
JOIN (
    SELECT output_id, grader, metric, sum(weight * value) / sum(weight) AS value
    FROM staging.item_scores
    WHERE value IS NOT NULL
    GROUP BY output_id, grader, metric
) i ON i.output_id = p.point_id AND i.grader = p.grader AND i.metric = p.metric
WHERE abs(p.value - i.value) > 1e-6
