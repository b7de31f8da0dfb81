-- What a difference is for the recipe, not for one set of weights: its mean over the training seeds of an arm, with
-- an interval in which two things vary: which items were asked (the same for every seed) and which seed was trained.
-- The two variances are added and the degrees of freedom follow from both (Satterthwaite), so three seeds that
-- disagree give a wide interval. With one seed it is that seed's own difference, and only items vary.
-- grain: point_id, other_point_id, grader, metric
-- column arm_method: what the interval holds
-- column other_arm: what the arm is compared with, seed by seed: base, an earlier step of its own, or another arm's end
-- column seeds: training seeds that were scored on both sides
-- column arm_beyond_noise: the interval leaves out 0
-- column arm_id: the same for every seed of an arm, step and comparison
-- column arm_p: p value of this one difference, two-sided; not corrected for anything
-- column arm_centre: middle of the interval; with its standard error and degrees of freedom, for wider intervals
-- column item_variance: the items' part of the variance of the mean; null where there is one seed
-- column seed_variance: the seeds' part of it
WITH pairs AS (
    SELECT
        d.*,
        CASE WHEN b.step = 0 THEN 'base' WHEN a.run = b.run THEN 'step ' || b.step ELSE b.arm END AS other_arm,
        CASE WHEN a.unit = 'share' THEN 2 ELSE 0 END AS pseudo_pairs,
        min(d.point_id) OVER arms AS arm_id,
        count(*) OVER arms AS seeds
    FROM staging.differences d
    JOIN staging.score_points a ON a.point_id = d.point_id AND a.grader = d.grader AND a.metric = d.metric
    JOIN staging.score_points b ON b.point_id = d.other_point_id AND b.grader = d.grader AND b.metric = d.metric
    WHERE b.step = 0 OR (a.is_last AND b.is_last AND a.run <> b.run)
        OR (d.point_id, d.other_point_id) IN (SELECT (point_id, other_point_id) FROM staging.valley_pairs)
    WINDOW arms AS (
        PARTITION BY a.source, a.arm, a.step,
            CASE WHEN b.step = 0 THEN 'base' WHEN a.run = b.run THEN 'step ' || b.step ELSE b.arm END, a.benchmark,
            a.protocol, d.grader, d.metric
    )
),

-- An item's change is its mean over the seeds, so that its own hardness counts once however many seeds there are.
items AS (
    SELECT
        p.arm_id,
        p.other_arm,
        p.grader,
        p.metric,
        a.item_id,
        any_value(p.pseudo_pairs) AS pseudo_pairs,
        any_value(p.seeds) AS seeds,
        avg(a.value - b.value) AS change,
        max(a.weight) AS weight,
        sum(a.scored + b.scored) / 2 AS samples
    FROM pairs p
    JOIN staging.item_scores a ON a.output_id = p.point_id AND a.grader = p.grader AND a.metric = p.metric
    JOIN staging.item_scores b
        ON b.output_id = p.other_point_id AND b.grader = p.grader AND b.metric = p.metric AND b.item_id = a.item_id
    WHERE p.seeds > 1 AND a.value IS NOT NULL AND b.value IS NOT NULL
    GROUP BY ALL
),

-- As in staging.paired_differences: two pseudo-pairs for shares (weighted by one over the seeds and over the root of the
-- samples of each), items counted by their weight.
by_item AS (
    SELECT
        arm_id,
        other_arm,
        grader,
        metric,
        count(*) + any_value(pseudo_pairs) - 1 AS item_freedom,
        any_value(pseudo_pairs) AS pseudo,
        avg(weight) AS typical,
        sum(weight) + pseudo * typical AS whole,
        sum(weight * change) / whole AS arm_centre,
        (
            sum((weight * change) ** 2) + pseudo / 2 * typical ** 2 / sqrt(avg(samples) * any_value(seeds))
            - 2 * arm_centre * sum(weight ** 2 * change)
            + arm_centre ** 2 * (sum(weight ** 2) + pseudo * typical ** 2)
        ) / whole ** 2 * CASE WHEN pseudo = 0 THEN count(*) / (count(*) - 1) ELSE 1 END AS item_variance
    FROM items
    GROUP BY arm_id, other_arm, grader, metric
    HAVING count(*) > 1
),

by_seed AS (
    SELECT
        arm_id,
        other_arm,
        grader,
        metric,
        avg(difference) AS mean_difference,
        min(difference) AS seed_lowest,
        max(difference) AS seed_highest,
        var_samp(difference) / count(*) AS seed_variance
    FROM pairs
    GROUP BY arm_id, other_arm, grader, metric
),

pooled AS (
    SELECT
        p.*,
        s.* EXCLUDE (arm_id, other_arm, grader, metric),
        i.arm_centre,
        i.item_variance,
        -- None where every item changed by as much in every seed, which leaves 0 or rounding: it says nothing.
        CASE WHEN i.item_variance + seed_variance > (1e-6 * i.arm_centre) ** 2
            THEN i.item_variance + seed_variance
        END AS variance,
        variance ** 2 / nullif(item_variance ** 2 / i.item_freedom + seed_variance ** 2 / (p.seeds - 1), 0)
            AS both_freedom
    FROM pairs p
    JOIN by_seed s USING (arm_id, other_arm, grader, metric)
    LEFT JOIN by_item i USING (arm_id, other_arm, grader, metric)
),

widened AS (
    SELECT
        p.*,
        coalesce(
            t.t,
            1.959964
            + (1.959964 ** 3 + 1.959964) / (4 * both_freedom)
            + (5 * 1.959964 ** 5 + 16 * 1.959964 ** 3 + 3 * 1.959964) / (96 * both_freedom ** 2)
        ) * sqrt(variance) AS half_width
    FROM pooled p
    LEFT JOIN seeds.student_t t ON t.tenths = floor(greatest(p.both_freedom, 1) * 10)
),

means AS (
    SELECT
        point_id,
        other_point_id,
        grader,
        metric,
        other_arm,
        seeds,
        mean_difference AS arm_difference,
        CASE WHEN seeds = 1 THEN low ELSE arm_centre - half_width END AS arm_low,
        CASE WHEN seeds = 1 THEN high ELSE arm_centre + half_width END AS arm_high,
        coalesce(arm_low > 0 OR arm_high < 0, false) AS arm_beyond_noise,
        CASE WHEN seeds = 1 THEN centre ELSE arm_centre END AS arm_centre,
        CASE WHEN seeds = 1 THEN se ELSE sqrt(variance) END AS arm_se,
        CASE WHEN seeds = 1 THEN freedom ELSE both_freedom END AS arm_freedom,
        arm_id,
        seed_lowest,
        seed_highest,
        item_variance,
        seed_variance,
        CASE
            WHEN arm_low IS NULL THEN 'no interval'
            WHEN seeds = 1 THEN 'items'
            ELSE 'items and training seeds'
        END AS arm_method
    FROM widened
),

-- Every seed of an arm has the same test; its p value is a sum of hundreds of terms.
tests AS (
    SELECT *, student_p(arm_centre / arm_se, arm_freedom) AS arm_p
    FROM (SELECT DISTINCT arm_centre, arm_se, arm_freedom FROM means)
)

SELECT *
FROM means
LEFT JOIN tests USING (arm_centre, arm_se, arm_freedom)
