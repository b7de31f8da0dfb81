-- Does a score dip and come back? Of every trajectory the deepest fall from its best step so far, how deep,
-- whether it is more than noise after allowing for having picked the deepest of many, and what follows.
-- The corrected interval is Bonferroni's over all pairs of steps, so it can be believed though the fall was chosen.
-- grain: source, run, benchmark, grader, metric, protocol
-- column run_group: the benchmark's group as this run stands to it: in domain is the kind of question it was trained on
-- column depth: how far the score falls from peak to dip, in the metric's own units; 0 where it never falls
-- column fall_low: corrected 95 % interval of the fall (negative is worse)
-- column is_dip_beyond_noise: the corrected interval leaves out 0
-- column recovery_step: first step after the dip that is as good as the peak; null where none is
-- column rise_after: from the dip to the last step
-- column is_recovery_beyond_noise: the corrected interval of that rise leaves out 0
-- column items_to_settle: items that would bring a fall of this depth beyond noise, at the spread seen here
-- column seeds: training seeds of the same model, data and schedule that were scored
-- column seeds_with_dip: how many of them fall beyond noise, each judged by itself
-- column seeds_with_recovery: how many of them fall and rise again beyond noise
-- column holds_in_every_seed: there are several seeds, and all of them fall beyond noise
WITH judged AS (
    SELECT
        f.*,
        z.z,
        z.z + (z.z ** 3 + z.z) / (4 * d.freedom)
            + (5 * z.z ** 5 + 16 * z.z ** 3 + 3 * z.z) / (96 * d.freedom ** 2) AS fall_t,
        z.z + (z.z ** 3 + z.z) / (4 * r.freedom)
            + (5 * z.z ** 5 + 16 * z.z ** 3 + 3 * z.z) / (96 * r.freedom ** 2) AS rise_t,
        CASE WHEN p.lower_is_better THEN -1 ELSE 1 END AS sign,
        p.study,
        p.model,
        p.dataset,
        p.schedule,
        p.arm,
        p.seed,
        p.title,
        p.benchmark_group,
        p.run_group,
        p.position,
        p.is_headline,
        p.unit,
        p.lower_is_better,
        d.difference AS fall_difference,
        d.centre AS fall_centre,
        d.se AS fall_se,
        d.freedom AS fall_freedom,
        d.method,
        r.difference AS rise_difference,
        r.centre AS rise_centre,
        r.se AS rise_se,
        p.trace
    FROM staging.deepest_falls f
    JOIN staging.score_points p ON p.point_id = f.end_id AND p.grader = f.grader AND p.metric = f.metric
    LEFT JOIN seeds.corrected_z z ON z.comparisons = least(f.pairs_of_steps, 400)
    LEFT JOIN staging.differences d
        ON d.point_id = f.dip_id AND d.other_point_id = f.peak_id AND d.grader = f.grader AND d.metric = f.metric
    LEFT JOIN staging.differences r
        ON r.point_id = f.end_id AND r.other_point_id = f.dip_id AND r.grader = f.grader AND r.metric = f.metric
),

measured AS (
    SELECT
        *,
        fall IS NOT NULL AND fall < 0 AS falls,
        sign * fall_centre - fall_t * fall_se AS fall_low,
        sign * fall_centre + fall_t * fall_se AS fall_high,
        sign * rise_difference AS rise_after,
        sign * rise_centre - rise_t * rise_se AS rise_low,
        sign * rise_centre + rise_t * rise_se AS rise_high
    FROM judged
)

SELECT
    source,
    study,
    model,
    dataset,
    schedule,
    seed,
    run,
    benchmark,
    title,
    benchmark_group,
    run_group,
    grader,
    metric,
    is_headline,
    unit,
    steps,
    CASE WHEN falls THEN peak_step END AS peak_step,
    CASE WHEN falls THEN dip_step END AS dip_step,
    CASE WHEN falls THEN -sign * fall_difference ELSE 0 END AS depth,
    CASE WHEN falls THEN fall_low END AS fall_low,
    CASE WHEN falls THEN fall_high END AS fall_high,
    pairs_of_steps,
    coalesce(falls AND fall_high < 0, false) AS is_dip_beyond_noise,
    CASE WHEN falls THEN recovery_step END AS recovery_step,
    end_step,
    CASE WHEN falls AND dip_step < end_step THEN rise_after END AS rise_after,
    CASE WHEN falls AND dip_step < end_step THEN rise_low END AS rise_low,
    CASE WHEN falls AND dip_step < end_step THEN rise_high END AS rise_high,
    coalesce(falls AND dip_step < end_step AND rise_low > 0, false) AS is_recovery_beyond_noise,
    CASE
        WHEN steps < 3 THEN 'too few steps'
        WHEN NOT falls THEN 'never falls'
        WHEN fall_high IS NULL THEN 'falls, no interval'
        WHEN fall_high >= 0 THEN 'falls, within noise'
        WHEN dip_step = end_step THEN 'dips at the last step'
        WHEN recovery_step IS NOT NULL AND rise_low > 0 THEN 'dips and recovers'
        WHEN rise_low > 0 THEN 'dips, recovers in part'
        ELSE 'dips, no recovery beyond noise'
    END AS shape,
    CASE
        WHEN falls AND fall_se > 0 AND fall_difference <> 0
        THEN ceil((z * fall_se / fall_difference) ** 2 * (fall_freedom + 1))::BIGINT
    END AS items_to_settle,
    method,
    count(*) OVER arms AS seeds,
    count(*) FILTER (WHERE falls AND fall_high < 0) OVER arms AS seeds_with_dip,
    count(*) FILTER (WHERE falls AND fall_high < 0 AND dip_step < end_step AND rise_low > 0) OVER arms
        AS seeds_with_recovery,
    seeds > 1 AND seeds_with_dip = seeds AS holds_in_every_seed,
    protocol,
    trace
FROM measured
WINDOW arms AS (PARTITION BY source, arm, benchmark, grader, metric, protocol)
ORDER BY source, study, model, run, position, grader, metric, protocol
