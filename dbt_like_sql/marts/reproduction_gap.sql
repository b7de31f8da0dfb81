-- Our scores and the paper's, cell by cell, each gap classed. Ours are graded as the authors' code grades.
-- noise: the 95 % interval of the gap holds 0. It holds the items of both sides and, where ours was trained here, the
-- training seed of both: the authors trained one seed, and ours is seed 1. harness: nothing of ours was trained (the
-- base model, or the authors' own checkpoint), or the base differs in the same direction already. precision: we train
-- with fp32 master weights, the authors in pure bf16, and our bf16-pure run on the same data fits the paper's number.
-- data: trained here on data made here, and a run trained alike on the authors' own data fits. training: the rest.
-- A run fits where its gap is noise and is smaller beyond noise. Causes that are not told apart are named together.
-- not available: one side has no number; where it is ours, what stands in its place (no access, no judge, …).
-- grain: run, step, benchmark, metric
-- column gap: ours minus the paper's
-- column seed_sd: standard deviation between training seeds; 0 where ours was not trained here
-- column seed_spread: where it is from: measured over the seeds of this cell, assumed (seeds.seed_spread), not trained
-- column paper_confidence: how sure the transcription of the paper's number is
WITH published AS (
    -- A recipe that is trained here in two precisions has the authors' numbers beside both.
    SELECT p.* REPLACE (r.run AS run, r.schedule AS schedule), s.confidence, s.paper_table, s.note
    FROM staging.score_points p
    JOIN declared.runs r ON r.recipe = p.run AND r.study = p.study AND r.seed = 1
    LEFT JOIN seeds.paper_scores s
        ON s.model = p.model AND s.step = p.step AND s.benchmark = p.benchmark AND s.metric = p.metric
        AND s.rank = 1 AND (p.step = 0 OR (s.dataset = p.dataset AND s.schedule = p.schedule))
    WHERE p.source = 'paper'
),

mine AS (
    SELECT *, count(*) OVER arms AS seeds, var_samp(value) OVER arms AS between_seeds
    FROM staging.score_points
    WHERE source = 'ours' AND grader = 'authors' AND benchmark_version = 1 AND study = 'paper'
    WINDOW arms AS (PARTITION BY arm, step, benchmark, metric)
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
        o.se ** 2 AS our_variance,
        p.se ** 2 AS paper_variance,
        o.seeds,
        o.between_seeds,
        p.confidence AS paper_confidence,
        p.paper_table,
        p.note,
        o.trace
    FROM published p
    FULL JOIN (
        SELECT * FROM mine WHERE seed = 1
    ) o USING (run, step, benchmark, metric)
),

made AS (
    SELECT
        c.*,
        r.recipe,
        r.precision,
        coalesce(k.origin = 'adopted', false) AS checkpoint_is_theirs,
        coalesce(d.origin = 'adopted', false) AS data_is_theirs,
        used.digest AS trained_on,
        c.step > 0 AND NOT checkpoint_is_theirs AS is_trained_here,
        is_trained_here AND c.seeds > 1 AS is_measured,
        CASE WHEN is_measured THEN c.between_seeds WHEN is_trained_here THEN a.sd ** 2 ELSE 0 END AS seed_variance
    FROM cells c
    JOIN declared.runs r ON r.run = c.run
    LEFT JOIN seeds.seed_spread a ON a.unit = c.unit
    LEFT JOIN records.outputs k ON k.stage = 'checkpoints' AND k.run = c.run AND k.step = c.step
    -- The set that the checkpoint was trained on, which may be older than the one in use.
    LEFT JOIN records.inputs used ON used.output_id = k.output_id AND used.asset = 'datasets/' || c.dataset
    LEFT JOIN records.outputs d ON d.asset = used.asset AND d.digest = used.digest
),

-- The seeds' part of the variance has few degrees of freedom where it is measured (Satterthwaite).
freed AS (
    SELECT
        *,
        our_variance + paper_variance + 2 * seed_variance AS variance,
        CASE WHEN is_measured
            THEN variance ** 2 / nullif((2 * seed_variance) ** 2 / (seeds - 1), 0)
        END AS freedom
    FROM made
),

widened AS (
    SELECT
        f.*,
        coalesce(t.t, 1.959964 + coalesce((1.959964 ** 3 + 1.959964) / (4 * f.freedom), 0)) AS quantile,
        quantile * sqrt(variance) AS half_width
    FROM freed f
    LEFT JOIN seeds.student_t t ON f.freedom IS NOT NULL AND t.tenths = floor(greatest(f.freedom, 1) * 10)
),

-- What another run of ours says of the causes of a gap.
compared AS (
    SELECT
        c.run,
        c.step,
        c.benchmark,
        c.metric,
        o.recipe = c.recipe AS is_pure,
        abs(o.gap) <= o.half_width AND abs(c.gap - o.gap) > greatest(c.quantile, o.quantile) * sqrt(
            c.our_variance + c.seed_variance + o.our_variance + o.seed_variance
            + CASE WHEN is_pure THEN 0 ELSE c.paper_variance + c.seed_variance + o.paper_variance + o.seed_variance END
        ) AS fits,
        abs(o.gap) > o.half_width AND sign(o.gap) = sign(c.gap) AS differs_too
    FROM widened c
    JOIN widened o
        ON o.model = c.model AND o.step = c.step AND o.benchmark = c.benchmark AND o.metric = c.metric
        AND o.is_trained_here AND o.run <> c.run
    WHERE (o.recipe = c.recipe AND o.trained_on = c.trained_on AND o.precision = 'bf16-pure')
        OR (o.schedule = c.schedule AND o.data_is_theirs AND NOT c.data_is_theirs)
),

told AS (
    SELECT
        run,
        step,
        benchmark,
        metric,
        bool_or(is_pure AND fits) AS is_precision,
        bool_or(NOT is_pure AND fits) AS is_data,
        bool_or(is_pure AND differs_too) AS is_not_precision
    FROM compared
    GROUP BY ALL
),

judged AS (
    SELECT
        w.*,
        t.is_precision,
        t.is_data,
        t.is_not_precision,
        b.gap AS base_gap,
        b.half_width AS base_half_width,
        -- A grader may lack what another one does not need.
        coalesce(s.instead, o.instead, 'not scored') AS instead
    FROM widened w
    LEFT JOIN widened b ON b.run = w.run AND b.step = 0 AND b.benchmark = w.benchmark AND b.metric = w.metric
    LEFT JOIN told t ON t.run = w.run AND t.step = w.step AND t.benchmark = w.benchmark AND t.metric = w.metric
    LEFT JOIN marts.benchmark_scores s
        ON s.run = w.run AND s.step = w.step AND s.benchmark = w.benchmark AND s.metric = w.metric
        AND s.grader = 'authors' AND s.benchmark_version = 1
    LEFT JOIN marts.coverage o ON o.run = w.run AND o.step = w.step AND o.benchmark = w.benchmark
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
    sqrt(seed_variance) AS seed_sd,
    CASE WHEN is_measured THEN 'measured' WHEN is_trained_here THEN 'assumed' ELSE 'not trained' END AS seed_spread,
    CASE
        WHEN ours IS NULL THEN 'not available: ' || instead
        WHEN paper IS NULL THEN 'not available: not published'
        WHEN half_width IS NULL THEN 'no interval'
        WHEN abs(gap) <= half_width THEN 'noise'
        WHEN NOT is_trained_here THEN 'harness'
        WHEN abs(base_gap) > base_half_width AND sign(base_gap) = sign(gap) THEN 'harness'
        WHEN is_precision THEN 'precision'
        WHEN is_data THEN 'data'
        ELSE concat_ws(
            ' or ',
            CASE WHEN NOT data_is_theirs THEN 'data' END,
            'training',
            CASE WHEN precision <> 'bf16-pure' AND is_not_precision IS NOT TRUE THEN 'precision' END
        )
    END AS class,
    paper_confidence,
    paper_table,
    note,
    trace
FROM judged
ORDER BY model, run, position, metric, step
