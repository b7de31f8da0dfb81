-- A score whose graded samples are not those of the stored completions, taking the metrics together.
SELECT s.trace, g.grader, g.samples, r.answers
FROM staging.score_outputs s
JOIN staging.response_shapes r ON r.completions_id = s.completions_id
JOIN staging.graded_counts g ON g.output_id = s.output_id
WHERE g.samples <> r.answers
