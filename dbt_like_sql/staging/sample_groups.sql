-- What k samples of an item give on average over all ways to draw them from its samples, which makes it unbiased: items
-- with the same outcome in one row. k is 1, 2, 4, … and the most samples that an item has.
-- Only shares whose values are 0 and 1 for every score of the benchmark.
-- grain: output_id, grader, metric, rule, k, scored, weight, share
-- column rule: pass: at least one of k samples is correct; majority: the answer that most of them give is
-- column k: samples drawn from those of an item
-- column items: items with this outcome; those with fewer than k scored samples are left out
-- column share: share of the draws that succeed
WITH counted AS (
    SELECT s.benchmark, i.output_id, i.grader, i.metric, i.scored, i.correct, i.weight, count(*) AS items
    FROM staging.item_scores i
    JOIN staging.score_outputs s USING (output_id)
    JOIN declared.metrics m ON m.benchmark = s.benchmark AND m.metric = i.metric AND m.unit = 'share'
    WHERE i.scored > 0
    GROUP BY ALL
),

yes_or_no AS (
    SELECT * EXCLUDE (benchmark)
    FROM counted
    WHERE (benchmark, metric) NOT IN (SELECT (benchmark, metric) FROM counted WHERE correct IS NULL)
),

sizes AS (
    SELECT output_id, grader, metric, max(scored) AS most, unnest(range(1, max(scored) + 1)) AS k
    FROM yes_or_no
    GROUP BY output_id, grader, metric
)

-- 1 - C(scored - correct, k) / C(scored, k)
SELECT
    c.output_id,
    c.grader,
    c.metric,
    'pass' AS rule,
    z.k,
    c.scored,
    c.weight,
    CASE WHEN c.scored - c.correct < z.k THEN 1 ELSE 1 - exp(
        (lgamma(c.scored - c.correct + 1) - lgamma(c.scored + 1))
        - (lgamma(c.scored - c.correct - z.k + 1) - lgamma(c.scored - z.k + 1))
    ) END AS share,
    sum(c.items)::BIGINT AS items
FROM yes_or_no c
JOIN sizes z USING (output_id, grader, metric)
WHERE z.k <= c.scored AND (z.k = z.most OR bit_count(z.k) = 1)
GROUP BY ALL

UNION ALL

SELECT
    v.output_id,
    v.grader,
    v.metric,
    'majority' AS rule,
    z.k,
    v.scored,
    v.weight,
    coalesce(m.share, 0) AS share,
    sum(v.items)::BIGINT AS items
FROM staging.vote_counts v
JOIN sizes z USING (output_id, grader, metric)
LEFT JOIN staging.majority_shares m
    ON m.correct = v.correct AND m.silent = v.silent AND m.wrong = v.wrong AND m.k = z.k
WHERE z.k <= v.scored AND (z.k = z.most OR bit_count(z.k) = 1)
GROUP BY ALL
