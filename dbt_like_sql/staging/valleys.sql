-- Does an arm dip and come back, and does it end below where it was? On the mean over its training seeds, at the steps
-- that all of them have, the base counted: the peak, valley and top, in that order, whose lesser side is highest, and
-- the best step before the last where the last is below it. Two windows suffice: for each valley the best before it
-- and the best after it. "Better" takes the metric's direction into account; ties take the earliest step.
-- grain: source, run, benchmark, grader, metric, protocol
-- column seeds: training seeds of the arm that were scored past the base
-- column steps: steps at which all of them were scored; what follows is the arm's, and repeated on each run of it
-- column valley_step: null where the mean nowhere lies below both an earlier and a later step
-- column regains: the top is at least as good as the peak, on the mean
-- column valley_seeds: seeds that fall from peak to valley and rise from valley to top, by sign only
-- column erosion_step: the best step before the last one; null where the last is no worse
-- column erosion_seeds: seeds whose last step is below that one, by sign only
-- column peak_id: this run's own score at the arm's peak; so with the other ids
WITH points AS (
    SELECT source, arm, run, benchmark, grader, metric, protocol, lower_is_better, step, point_id,
        CASE WHEN lower_is_better THEN -value ELSE value END AS good
    FROM staging.score_points
    WHERE step > 0
    UNION ALL
    -- The base may have been scored in another run of the model.
    SELECT DISTINCT p.source, p.arm, p.run, p.benchmark, p.grader, p.metric, p.protocol, p.lower_is_better, b.step,
        b.point_id, CASE WHEN p.lower_is_better THEN -b.value ELSE b.value END AS good
    FROM staging.score_points p
    JOIN staging.score_points b ON b.point_id = p.base_point_id AND b.grader = p.grader AND b.metric = p.metric
    WHERE p.step > 0
),

scored AS (
    SELECT source, arm, benchmark, grader, metric, protocol, count(DISTINCT run) AS seeds
    FROM points
    GROUP BY ALL
),

-- Rounded, so that means that are equal but for their last digit are ties.
common AS (
    SELECT source, arm, benchmark, grader, metric, protocol, p.step, s.seeds, round(avg(p.good), 10) AS mean
    FROM points p
    JOIN scored s USING (source, arm, benchmark, grader, metric, protocol)
    GROUP BY ALL
    HAVING count(*) = s.seeds
),

around AS (
    SELECT
        *,
        max(mean) OVER earlier AS peak,
        arg_max(step, mean - step * 1e-12) OVER earlier AS peak_step,
        max(mean) OVER later AS top,
        arg_max(step, mean - step * 1e-12) OVER later AS top_step,
        count(*) OVER (PARTITION BY source, arm, benchmark, grader, metric, protocol) AS steps
    FROM common
    WINDOW
        earlier AS (
            PARTITION BY source, arm, benchmark, grader, metric, protocol ORDER BY step
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ),
        later AS (
            PARTITION BY source, arm, benchmark, grader, metric, protocol ORDER BY step
            ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
        )
),

clearest AS (
    SELECT source, arm, benchmark, grader, metric, protocol, peak_step, step AS valley_step, top_step,
        top >= peak AS regains
    FROM around
    WHERE peak > mean AND top > mean
    QUALIFY row_number() OVER (
        PARTITION BY source, arm, benchmark, grader, metric, protocol
        ORDER BY round(least(peak - mean, top - mean), 10) DESC, step
    ) = 1
),

ends AS (
    SELECT source, arm, benchmark, grader, metric, protocol, seeds, steps, step AS end_step,
        CASE WHEN peak > mean THEN peak_step END AS erosion_step
    FROM around
    WHERE top_step IS NULL
),

by_run AS (
    SELECT
        source,
        arm,
        p.run,
        benchmark,
        grader,
        metric,
        protocol,
        p.lower_is_better,
        e.seeds,
        e.steps,
        v.peak_step,
        v.valley_step,
        v.top_step,
        v.regains,
        e.end_step,
        e.erosion_step,
        max(p.point_id) FILTER (WHERE p.step = v.peak_step) AS peak_id,
        max(p.point_id) FILTER (WHERE p.step = v.valley_step) AS valley_id,
        max(p.point_id) FILTER (WHERE p.step = v.top_step) AS top_id,
        max(p.point_id) FILTER (WHERE p.step = e.end_step) AS end_id,
        max(p.point_id) FILTER (WHERE p.step = e.erosion_step) AS erosion_id,
        max(p.good) FILTER (WHERE p.step = v.peak_step) AS peak,
        max(p.good) FILTER (WHERE p.step = v.valley_step) AS valley,
        max(p.good) FILTER (WHERE p.step = v.top_step) AS top,
        max(p.good) FILTER (WHERE p.step = e.end_step) AS last,
        max(p.good) FILTER (WHERE p.step = e.erosion_step) AS eroded
    FROM points p
    JOIN ends e USING (source, arm, benchmark, grader, metric, protocol)
    LEFT JOIN clearest v USING (source, arm, benchmark, grader, metric, protocol)
    GROUP BY ALL
)

SELECT
    * EXCLUDE (peak, valley, top, last, eroded),
    count(*) FILTER (WHERE valley < peak AND valley < top) OVER arms AS valley_seeds,
    count(*) FILTER (WHERE last < eroded) OVER arms AS erosion_seeds
FROM by_run
WINDOW arms AS (PARTITION BY source, arm, benchmark, grader, metric, protocol)
