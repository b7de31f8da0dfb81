-- Does a score dip and come back, and does it end below where it was? Of every arm, on the mean over its training seeds,
-- the valley between two better steps and the fall from the best step to the last (`arm_*`, the same on each run of
-- it); and of every run by itself the deepest fall from its best step so far and what follows.
-- The corrected intervals are max-T's over all pairs of steps: they hold although the steps were chosen after looking.
-- What is confirmed of an arm holds after Holm's correction for the number of arms and benchmarks as well; what is said
-- of a run by itself does not.
-- grain: source, run, benchmark, grader, metric, protocol
-- column is_default: the one row that stands for the score: the headline metric under the strict grader, or as published
-- column run_group: the benchmark's group for this run; in domain is the kind of question that it was trained on
-- column depth: how far the score falls from peak to dip, in the metric's own units; 0 where it never falls
-- column fall_low: corrected 95 % interval of the fall (negative is worse)
-- column is_dip_beyond_noise: the corrected interval leaves out 0
-- column recovery_step: first step after the dip that is as good as the peak; null where none is
-- column rise_after: from the dip to the last step
-- column is_recovery_beyond_noise: the corrected interval of that rise leaves out 0
-- column items_to_settle: items that would bring a fall of this depth beyond noise, at the spread seen here
-- column seeds: training seeds of the same model, data and schedule that were scored past the base
-- column arm_steps: steps at which all of these were scored, the base included; only these count for the arm
-- column arm_peak_step: the best step before the valley; null where the mean nowhere falls and rises again
-- column arm_valley_step: the step between two better ones whose lesser distance to them is largest
-- column arm_top_step: the best step after the valley
-- column arm_fall: from peak to valley, mean over the seeds; negative is worse
-- column arm_fall_low: corrected 95 % interval in which items and training seeds vary; with one seed, items only
-- column arm_rise: from valley to top; its interval as above
-- column is_arm_valley_beyond_noise: both corrected intervals leave out 0
-- column arms_asked: arms and benchmarks that Holm's method corrects for; null where fewer than three steps are scored
-- column arm_valley_p: the less clear of fall and rise, corrected for the choice of steps
-- column arm_valley_holm_p: the same after Holm's correction over arms and benchmarks
-- column is_arm_valley_confirmed: that is 0.05 at most, and both intervals leave out 0: the arm dips and recovers
-- column arm_regains: at the top the arm is at least as good as at the peak, on the mean
-- column arm_valley_seeds: seeds that both fall and rise between these same steps, by sign only
-- column arm_end_step: the last step that all seeds have
-- column arm_erosion_step: the best step before that; null where the last is no worse
-- column arm_erosion: from there to the last step, negative; its interval as above
-- column is_arm_erosion_beyond_noise: the corrected interval leaves out 0
-- column arm_erosion_p: corrected for the choice of steps; arm_erosion_holm_p over arms and benchmarks as well
-- column is_arm_erosion_confirmed: as for the valley: the arm ends below where it was
-- column arm_erosion_seeds: seeds that lose between these same steps, by sign only
-- column is_arm_undecided: a valley or an erosion of the arm has no interval
WITH judged AS (
    SELECT
        f.*,
        fw.t AS fall_t,
        rw.t AS rise_t,
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
    LEFT JOIN staging.differences d
        ON d.point_id = f.dip_id AND d.other_point_id = f.peak_id AND d.grader = f.grader AND d.metric = f.metric
    LEFT JOIN staging.differences r
        ON r.point_id = f.end_id AND r.other_point_id = f.dip_id AND r.grader = f.grader AND r.metric = f.metric
    LEFT JOIN staging.step_widths fw
        ON fw.steps = f.steps AND d.freedom >= fw.freedom AND d.freedom < fw.next_freedom
    LEFT JOIN staging.step_widths rw
        ON rw.steps = f.steps AND r.freedom >= rw.freedom AND r.freedom < rw.next_freedom
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
),

of_arms AS (
    SELECT
        v.source,
        v.run,
        v.benchmark,
        v.grader,
        v.metric,
        v.protocol,
        v.seeds,
        v.steps AS arm_steps,
        v.peak_step AS arm_peak_step,
        v.valley_step AS arm_valley_step,
        v.top_step AS arm_top_step,
        v.fall AS arm_fall,
        v.fall_low AS arm_fall_low,
        v.fall_high AS arm_fall_high,
        v.rise AS arm_rise,
        v.rise_low AS arm_rise_low,
        v.rise_high AS arm_rise_high,
        v.fall_high < 0 AND v.rise_low > 0 AS is_arm_valley_beyond_noise,
        v.asked AS arms_asked,
        v.valley_p AS arm_valley_p,
        v.valley_holm_p AS arm_valley_holm_p,
        is_arm_valley_beyond_noise AND arm_valley_holm_p <= 0.05 AS is_arm_valley_confirmed,
        v.regains AS arm_regains,
        v.valley_seeds AS arm_valley_seeds,
        v.end_step AS arm_end_step,
        v.erosion_step AS arm_erosion_step,
        v.erosion AS arm_erosion,
        v.erosion_low AS arm_erosion_low,
        v.erosion_high AS arm_erosion_high,
        v.erosion_high < 0 AS is_arm_erosion_beyond_noise,
        v.erosion_p AS arm_erosion_p,
        v.erosion_holm_p AS arm_erosion_holm_p,
        is_arm_erosion_beyond_noise AND arm_erosion_holm_p <= 0.05 AS is_arm_erosion_confirmed,
        v.erosion_seeds AS arm_erosion_seeds,
        (v.valley_step IS NOT NULL AND (v.fall_low IS NULL OR v.rise_low IS NULL))
            OR (v.erosion_step IS NOT NULL AND v.erosion_low IS NULL) AS is_arm_undecided
    FROM staging.arm_verdicts v
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
    position,
    grader,
    metric,
    is_headline,
    coalesce(is_headline, false) AND (source = 'paper' OR grader = 'strict') AS is_default,
    unit,
    steps,
    CASE WHEN falls THEN peak_step END AS peak_step,
    CASE WHEN falls THEN dip_step END AS dip_step,
    CASE WHEN falls THEN -sign * fall_difference ELSE 0 END AS depth,
    CASE WHEN falls THEN fall_low END AS fall_low,
    CASE WHEN falls THEN fall_high END AS fall_high,
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
        THEN ceil((fall_t * fall_se / fall_difference) ** 2 * (fall_freedom + 1))::BIGINT
    END AS items_to_settle,
    method,
    seeds,
    arm_steps,
    arm_peak_step,
    arm_valley_step,
    arm_top_step,
    arm_fall,
    arm_fall_low,
    arm_fall_high,
    arm_rise,
    arm_rise_low,
    arm_rise_high,
    coalesce(is_arm_valley_beyond_noise, false) AS is_arm_valley_beyond_noise,
    arms_asked,
    arm_valley_p,
    arm_valley_holm_p,
    coalesce(is_arm_valley_confirmed, false) AS is_arm_valley_confirmed,
    arm_regains,
    arm_valley_seeds,
    arm_end_step,
    arm_erosion_step,
    arm_erosion,
    arm_erosion_low,
    arm_erosion_high,
    coalesce(is_arm_erosion_beyond_noise, false) AS is_arm_erosion_beyond_noise,
    arm_erosion_p,
    arm_erosion_holm_p,
    coalesce(is_arm_erosion_confirmed, false) AS is_arm_erosion_confirmed,
    arm_erosion_seeds,
    coalesce(is_arm_undecided, false) AS is_arm_undecided,
    protocol,
    trace
FROM measured
LEFT JOIN of_arms USING (source, run, benchmark, grader, metric, protocol)
ORDER BY source, study, model, run, position, grader, metric, protocol
