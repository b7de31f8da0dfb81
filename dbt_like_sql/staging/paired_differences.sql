-- Differences between two scores of the same items, item by item: what differs within an item cannot blur it.
-- Shares get the two pseudo-pairs of Agresti and Min (weighted by one over the samples), so that an interval
-- never closes to nothing where no item happened to change.
-- grain: point_id, other_point_id, grader, metric
-- column centre: middle of the interval, drawn in a little by the pseudo-pairs
WITH paired AS (
    SELECT
        c.point_id,
        c.other_point_id,
        a.grader,
        a.metric,
        count(*) AS pairs,
        sum(a.value - b.value) AS total,
        sum((a.value - b.value) * (a.value - b.value)) AS squares,
        avg(a.scored + b.scored) / 2 AS samples
    FROM staging.comparisons c
    JOIN staging.item_scores a ON a.output_id = c.point_id
    JOIN staging.item_scores b
        ON b.output_id = c.other_point_id AND b.grader = a.grader AND b.metric = a.metric AND b.item_id = a.item_id
    WHERE a.value IS NOT NULL AND b.value IS NOT NULL
    GROUP BY ALL
),

shaped AS (
    SELECT
        p.*,
        CASE WHEN coalesce(m.unit, 'share') = 'share' THEN 2 ELSE 0 END AS pseudo_pairs
    FROM paired p
    LEFT JOIN (SELECT DISTINCT metric, unit FROM declared.metrics) m USING (metric)
)

SELECT
    point_id,
    other_point_id,
    grader,
    metric,
    pairs,
    total / pairs AS difference,
    total / (pairs + pseudo_pairs) AS centre,
    CASE
        WHEN pseudo_pairs > 0 THEN sqrt(
            ((squares + 1 / samples) / (pairs + 2) - (total / (pairs + 2)) ** 2) / (pairs + 2)
        )
        WHEN pairs > 1 THEN sqrt(greatest(squares / pairs - (total / pairs) ** 2, 0) / (pairs - 1))
    END AS se,
    pairs + pseudo_pairs - 1 AS freedom
FROM shaped
