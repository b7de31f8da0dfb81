-- Differences between two scores of the same items, item by item, which removes the spread between items.
-- Shares get the two pseudo-pairs of Agresti and Min (weighted by one over the root of the samples), so that an interval
-- never has zero width where no item happened to change, and holds where few items did. Items count by their weight, as in the score itself.
-- grain: point_id, other_point_id, grader, metric
-- incremental: point_id, other_point_id among staging.comparisons
-- column centre: middle of the interval, drawn in a little by the pseudo-pairs
WITH paired AS (
    SELECT
        c.point_id,
        c.other_point_id,
        a.grader,
        a.metric,
        count(*) AS pairs,
        sum(a.weight) AS weights,
        sum(a.weight ** 2) AS weights2,
        sum(a.weight * (a.value - b.value)) AS total,
        sum(a.weight ** 2 * (a.value - b.value)) AS total2,
        sum((a.weight * (a.value - b.value)) ** 2) AS squares,
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
        CASE WHEN coalesce(m.unit, 'share') = 'share' THEN 2 ELSE 0 END AS pseudo_pairs,
        weights / pairs AS typical,
        total / (weights + pseudo_pairs * typical) AS centre
    FROM paired p
    LEFT JOIN records.outputs o ON o.output_id = p.point_id
    LEFT JOIN declared.metrics m ON m.benchmark = o.benchmark AND m.metric = p.metric
)

SELECT
    point_id,
    other_point_id,
    grader,
    metric,
    pairs,
    total / weights AS difference,
    centre,
    CASE WHEN pairs + pseudo_pairs > 1 THEN
        sqrt(greatest(
            squares + pseudo_pairs / 2 * typical ** 2 / sqrt(samples)
            - 2 * centre * total2
            + centre ** 2 * (weights2 + pseudo_pairs * typical ** 2),
            0
        )) / (weights + pseudo_pairs * typical)
        * CASE WHEN pseudo_pairs = 0 THEN sqrt(pairs / (pairs - 1)) ELSE 1 END
    END AS se,
    pairs + pseudo_pairs - 1 AS freedom
FROM shaped
