-- Our scores and the paper's, cell by cell, each gap classed. Ours are graded as the authors' code grades.
-- noise: the 95 % interval of the gap holds 0. harness: nothing of ours was trained (the base model, or the
-- authors' own checkpoint), or the base differs in the same direction already. training: trained here on the
-- authors' own data. data or training: trained here on data made here. not available: one side has no number.
-- grain: run, step, benchmark, metric
-- column gap: ours minus the paper's
-- column paper_confidence: how sure the transcription of the paper's number is
WITH published AS (
    SELECT p.*, s.confidence, s.paper_table, s.note
    FROM staging.score_points p
    LEFT JOIN seeds.paper_scores s
        ON s.model = p.model AND s.step = p.step AND s.benchmark = p.benchmark AND s.metric = p.metric
        AND s.rank = 1 AND (p.step = 0 OR (s.dataset = p.dataset AND s.schedule = p.schedule))
    WHERE p.source = 'paper'
),

mine AS (
    SELECT * FROM staging.score_points WHERE source = 'ours' AND grader = 'authors' AND benchmark_version = 1
),

cells AS (
    SELECT
        coalesce(p.study, o.study) AS study,
        coalesce(p.model, o.model) AS model,
        coalesce(p.dataset, o.dataset) AS dataset,
        coalesce(p.schedule, o.schedule) AS schedule,
        run,
        step,
        benchmark,
        metric,
        coalesce(p.is_headline, o.is_headline) AS is_headline,
        coalesce(p.title, o.title) AS title,
        coalesce(p.benchmark_group, o.benchmark_group) AS benchmark_group,
        coalesce(p.position, o.position) AS position,
        coalesce(p.unit, o.unit) AS unit,
        o.value AS ours,
        p.value AS paper,
        o.value - p.value AS gap,
        1.959964 * sqrt(o.se ** 2 + p.se ** 2) AS half_width,
        p.confidence AS paper_confidence,
        p.paper_table,
        p.note,
        o.trace
    FROM published p
    FULL JOIN (
        SELECT * FROM mine WHERE seed = 1 AND study = 'paper'
    ) o USING (run, step, benchmark, metric)
),

made AS (
    SELECT
        c.*,
        b.gap AS base_gap,
        coalesce(abs(b.gap) > b.half_width, false) AS base_differs,
        coalesce(k.origin = 'adopted', false) AS checkpoint_is_theirs,
        coalesce(d.origin = 'adopted', false) AS data_is_theirs
    FROM cells c
    LEFT JOIN cells b ON b.run = c.run AND b.step = 0 AND b.benchmark = c.benchmark AND b.metric = c.metric
    LEFT JOIN records.outputs k ON k.stage = 'checkpoints' AND k.run = c.run AND k.step = c.step
    -- The set that the checkpoint was trained on, which may be older than the one in use.
    LEFT JOIN records.inputs used ON used.output_id = k.output_id AND used.asset = 'datasets/' || c.dataset
    LEFT JOIN records.outputs d ON d.asset = used.asset AND d.digest = used.digest
)

SELECT
    study,
    model,
    dataset,
    schedule,
    run,
    step,
    benchmark,
    title,
    benchmark_group,
    position,
    metric,
    is_headline,
    unit,
    ours,
    paper,
    gap,
    gap - half_width AS gap_low,
    gap + half_width AS gap_high,
    CASE
        WHEN ours IS NULL AND paper IS NULL THEN 'not available'
        WHEN ours IS NULL THEN 'not available: ours not scored'
        WHEN paper IS NULL THEN 'not available: not published'
        WHEN half_width IS NULL THEN 'no interval'
        WHEN abs(gap) <= half_width THEN 'noise'
        WHEN step = 0 OR checkpoint_is_theirs THEN 'harness'
        WHEN base_differs AND sign(base_gap) = sign(gap) THEN 'harness'
        WHEN data_is_theirs THEN 'training'
        ELSE 'data or training'
    END AS class,
    paper_confidence,
    paper_table,
    note,
    trace
FROM made
ORDER BY model, run, position, metric, step
