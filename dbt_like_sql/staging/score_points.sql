-- Every score that can be compared: ours and the paper's own; `source` says which.
-- The paper's scores have no rows per item; their intervals are Wilson's for one sample per item, and their standard
-- errors have one right and one wrong answer added (Agresti and Caffo), so that a share of 0 or 1 is not certain.
-- grain: source, run, step, benchmark, grader, metric, protocol
-- column is_default: the one row that stands for the score: the headline metric under the strict grader, or as published
-- column point_id: one checkpoint's score on one benchmark; ours is the output_id
-- column base_point_id: the untrained model under the same protocol
-- column run_group: the benchmark's group for this run; in domain is the kind of question that it was trained on
-- column se: standard error of the value, by item
-- column low: 95 % interval of the value: the grader's own where the score is ours
WITH ours AS (
    SELECT
        'ours' AS source,
        s.study,
        s.model,
        s.dataset,
        s.schedule,
        s.arm,
        s.seed,
        s.run,
        s.step,
        s.benchmark,
        s.protocol,
        s.benchmark_version,
        v.grader,
        v.metric,
        v.value,
        (v.high - v.low) / (2 * 1.959964) AS se,
        v.low,
        v.high,
        v.items,
        v.samples / nullif(v.items, 0) AS samples_per_item,
        v.truncated / nullif(v.samples, 0) AS truncation_rate,
        v.undecided / nullif(v.samples, 0) AS undecided_rate,
        v.mean_tokens,
        s.output_id AS point_id,
        s.base_output_id AS base_point_id,
        s.trace
    FROM staging.score_outputs s
    JOIN records.scores v ON v.output_id = s.output_id AND v.category = 'all' AND v.state = 'scored'
),

paper_runs AS (
    SELECT r.*
    FROM declared.runs r
    WHERE r.seed = 1 AND EXISTS (
        SELECT 1
        FROM seeds.paper_scores p
        WHERE p.model = r.model AND p.dataset = r.dataset AND p.schedule = r.schedule
    )
),

paper AS (
    SELECT
        'paper' AS source,
        r.study,
        r.model,
        r.dataset,
        r.schedule,
        r.arm,
        r.seed,
        r.run,
        p.step,
        p.benchmark,
        'as published' AS protocol,
        1 AS benchmark_version,
        'authors' AS grader,
        p.metric,
        p.value,
        CASE WHEN m.unit = 'share' THEN
            sqrt((p.value * b.items + 1) * ((1 - p.value) * b.items + 1) / (b.items + 2) ** 3)
        END AS se,
        1.959964 * sqrt(p.value * (1 - p.value) * b.items + 1.959964 ** 2 / 4) AS wilson,
        -- greatest and least pass over a null, which must stay one here.
        CASE WHEN se IS NOT NULL
            THEN greatest((p.value * b.items + 1.959964 ** 2 / 2 - wilson) / (b.items + 1.959964 ** 2), 0)
        END AS low,
        CASE WHEN se IS NOT NULL
            THEN least((p.value * b.items + 1.959964 ** 2 / 2 + wilson) / (b.items + 1.959964 ** 2), 1)
        END AS high,
        b.items,
        b.samples AS samples_per_item,
        NULL::DOUBLE AS truncation_rate,
        NULL::DOUBLE AS undecided_rate,
        NULL::DOUBLE AS mean_tokens,
        -(hash(r.run || '|' || p.step || '|' || p.benchmark) >> 2)::BIGINT AS point_id,
        -(hash(r.run || '|0|' || p.benchmark) >> 2)::BIGINT AS base_point_id,
        p.paper_table AS trace
    FROM paper_runs r
    JOIN seeds.paper_scores p
        ON p.model = r.model AND p.rank = 1
        AND (p.step = 0 OR (p.dataset = r.dataset AND p.schedule = r.schedule))
    JOIN declared.benchmarks b ON b.benchmark = p.benchmark
    JOIN declared.metrics m ON m.benchmark = p.benchmark AND m.metric = p.metric
)

SELECT
    p.*,
    t.epoch,
    coalesce(t.is_last, false) AS is_last,
    b.title,
    b.benchmark_group,
    coalesce(g.run_group, b.benchmark_group) AS run_group,
    b.position,
    coalesce(m.is_headline, false) AS is_headline,
    coalesce(m.is_headline, false) AND (p.source = 'paper' OR p.grader = 'strict') AS is_default,
    coalesce(m.unit, 'share') AS unit,
    coalesce(m.lower_is_better, false) AS lower_is_better
FROM (FROM ours UNION ALL SELECT * EXCLUDE (wilson) FROM paper) p
LEFT JOIN declared.run_steps t ON t.run = p.run AND t.step = p.step
LEFT JOIN declared.benchmarks b ON b.benchmark = p.benchmark
LEFT JOIN declared.run_groups g ON g.run = p.run AND g.benchmark = p.benchmark
LEFT JOIN declared.metrics m ON m.benchmark = p.benchmark AND m.metric = p.metric
ORDER BY p.source, p.run, p.benchmark, p.grader, p.metric, p.step
