-- The fall, the rise and the final erosion of each arm, with intervals that hold although their steps were chosen
-- after looking.
-- grain: source, run, benchmark, grader, metric, protocol, part
-- column part: as in staging.valley_pairs
-- column change: mean over the training seeds; negative is worse
-- column low: corrected 95 % interval in which items and training seeds vary; with one seed, items only
-- column p: corrected for the choice of steps as well; at most 0.05 where the interval leaves out 0
WITH judged AS (
    SELECT
        p.*,
        CASE WHEN p.lower_is_better THEN -1 ELSE 1 END AS sign,
        a.arm_difference,
        a.arm_centre,
        a.arm_method,
        a.arm_se * w.t AS half_width,
        a.arm_p
    FROM staging.valley_pairs p
    LEFT JOIN staging.arm_differences a
        ON a.point_id = p.point_id AND a.other_point_id = p.other_point_id AND a.grader = p.grader
        AND a.metric = p.metric
    LEFT JOIN staging.step_widths w
        ON w.steps = p.steps AND greatest(a.arm_freedom, 1) >= w.freedom AND a.arm_freedom < w.next_freedom
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
    -- Bonferroni's over the pairs of steps, which for small ones is as good as max-T's.
    CASE WHEN arm_p IS NOT NULL THEN
        least(greatest(steps * (steps - 1) / 2 * arm_p, 0), CASE WHEN beyond_noise THEN 0.05 ELSE 1 END)
    END AS p,
    arm_method AS method
FROM judged
