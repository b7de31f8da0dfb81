-- The fall, the rise and the final erosion of each arm, with intervals that hold although their steps were chosen
-- after looking: Bonferroni's over all pairs of steps, so that fall and rise hold together. Where there are few
-- degrees of freedom the width is Student's from a table, above 30 from the series.
-- grain: source, run, benchmark, grader, metric, protocol, part
-- column part: as in staging.valley_pairs
-- column change: mean over the training seeds; negative is worse
-- column low: corrected 95 % interval in which items and training seeds vary; with one seed, items only
-- Each row of the table stands for what lies between it and its neighbour on the side where intervals are narrower.
WITH widths AS (
    SELECT
        comparisons,
        tenths,
        t,
        lag(comparisons, 1, 0) OVER (PARTITION BY tenths ORDER BY comparisons) AS fewer,
        lead(tenths, 1, 1000000000) OVER (PARTITION BY comparisons ORDER BY tenths) AS next_tenths
    FROM seeds.corrected_t
),

judged AS (
    SELECT
        p.*,
        CASE WHEN p.lower_is_better THEN -1 ELSE 1 END AS sign,
        a.arm_difference,
        a.arm_centre,
        a.arm_method,
        a.arm_se * CASE
            WHEN a.arm_freedom <= 30 THEN t.t
            ELSE z.z + (z.z ** 3 + z.z) / (4 * a.arm_freedom)
                + (5 * z.z ** 5 + 16 * z.z ** 3 + 3 * z.z) / (96 * a.arm_freedom ** 2)
        END AS half_width
    FROM staging.valley_pairs p
    LEFT JOIN staging.arm_differences a
        ON a.point_id = p.point_id AND a.other_point_id = p.other_point_id AND a.grader = p.grader
        AND a.metric = p.metric
    LEFT JOIN widths t
        ON p.pairs_of_steps > t.fewer AND p.pairs_of_steps <= t.comparisons
        AND greatest(a.arm_freedom, 1) * 10 >= t.tenths AND greatest(a.arm_freedom, 1) * 10 < t.next_tenths
    LEFT JOIN seeds.corrected_z z ON z.comparisons = t.comparisons
)

SELECT
    source,
    run,
    benchmark,
    grader,
    metric,
    protocol,
    part,
    sign * arm_difference AS change,
    sign * arm_centre - half_width AS low,
    sign * arm_centre + half_width AS high,
    coalesce(low > 0 OR high < 0, false) AS beyond_noise,
    arm_method AS method
FROM judged
