-- A score over fewer or more items than its benchmark declares; a metric may apply to some of them, together they
-- must cover all, undecided and not-run ones counted in.
SELECT s.trace, g.grader, g.items, b.items AS declared
FROM staging.score_outputs s
JOIN (
    SELECT output_id, grader, count(DISTINCT item_id) AS items FROM staging.item_scores GROUP BY ALL
) g USING (output_id)
JOIN declared.benchmarks b USING (benchmark)
WHERE b.items IS NOT NULL AND g.items <> b.items
