-- A score over fewer or more items than its benchmark declares; a metric may apply to some of them, but all
-- metrics together must cover all items, undecided and not-run ones included.
SELECT s.trace, g.grader, g.items, b.items AS declared
FROM staging.score_outputs s
JOIN staging.graded_counts g USING (output_id)
JOIN declared.benchmarks b USING (benchmark)
WHERE b.items IS NOT NULL AND g.items <> b.items
