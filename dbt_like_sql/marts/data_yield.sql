-- How many rows each training set keeps of what it was made from, stage by stage, and why the others are gone.
-- grain: dataset, position
-- column stage: queries, queries answered, responses, verdicts by kind, queries with a correct response, rows
-- column share: of the stage that `of_stage` names
WITH per_verdict AS (
    SELECT o.name AS pool, v.verdict, sum(v.responses) AS responses
    FROM staging.pool_verdicts v
    JOIN records.outputs o USING (output_id)
    GROUP BY ALL
),

per_query AS (
    SELECT
        o.name AS pool,
        count(DISTINCT q.query_id) AS answered,
        count(DISTINCT q.query_id) FILTER (WHERE q.correct > 0) AS solved
    FROM staging.pool_queries q
    JOIN records.outputs o USING (output_id)
    GROUP BY ALL
),

per_source AS (
    SELECT o.name AS source, count(*) AS queries
    FROM records.queries q
    JOIN records.outputs o USING (output_id)
    GROUP BY ALL
),

per_pool AS (
    SELECT pool, sum(responses) AS responses FROM per_verdict GROUP BY ALL
),

per_dataset AS (
    SELECT
        dataset,
        count(*) AS rows,
        count(*) FILTER (WHERE verdict = 'correct') AS verified,
        any_value(dataset_digest) AS digest,
        any_value(trace) AS trace
    FROM staging.dataset_rows
    GROUP BY dataset
),

-- A set made `like` another comes from the same pool.
origins AS (
    SELECT d.study, d.dataset, coalesce(d.pool, u.pool, w.pool) AS pool, d.rows AS declared_rows
    FROM declared.datasets d
    LEFT JOIN declared.datasets u ON u.dataset = d.based_on
    LEFT JOIN declared.datasets w ON w.dataset = u.based_on
),

stages AS (
    SELECT o.study, o.dataset, 1 AS position, 'queries' AS stage, s.queries AS amount, NULL AS of_stage
    FROM origins o
    JOIN declared.pools p USING (pool)
    LEFT JOIN per_source s USING (source)
    UNION ALL
    SELECT o.study, o.dataset, 2, 'queries answered', q.answered, 'queries'
    FROM origins o
    LEFT JOIN per_query q USING (pool)
    UNION ALL
    SELECT o.study, o.dataset, 3, 'responses', v.responses, NULL
    FROM origins o
    LEFT JOIN per_pool v USING (pool)
    UNION ALL
    SELECT
        o.study,
        o.dataset,
        4 + list_position(['correct', 'wrong', 'unparseable', 'undecided'], k.verdict),
        'responses ' || k.verdict,
        CASE WHEN w.pool IS NOT NULL THEN coalesce(v.responses, 0) END,
        'responses'
    FROM origins o
    CROSS JOIN (SELECT unnest(['correct', 'wrong', 'unparseable', 'undecided']) AS verdict) k
    LEFT JOIN per_pool w ON w.pool = o.pool
    LEFT JOIN per_verdict v ON v.pool = o.pool AND v.verdict = k.verdict
    UNION ALL
    SELECT o.study, o.dataset, 10, 'queries with a correct response', q.solved, 'queries'
    FROM origins o
    LEFT JOIN per_query q USING (pool)
    UNION ALL
    SELECT o.study, o.dataset, 11, 'rows of the set', d.rows, 'queries'
    FROM origins o
    LEFT JOIN per_dataset d USING (dataset)
    UNION ALL
    SELECT o.study, o.dataset, 12, 'rows judged correct', d.verified, 'rows of the set'
    FROM origins o
    LEFT JOIN per_dataset d USING (dataset)
)

SELECT
    s.study,
    s.dataset,
    s.position,
    s.stage,
    s.amount::BIGINT AS amount,
    s.of_stage,
    s.amount / nullif(f.amount, 0) AS share,
    CASE WHEN s.amount IS NULL THEN 'not made yet' ELSE 'counted' END AS state,
    d.digest AS dataset_digest,
    d.trace
FROM stages s
LEFT JOIN stages f ON f.dataset = s.dataset AND f.stage = s.of_stage
LEFT JOIN per_dataset d ON d.dataset = s.dataset
ORDER BY s.study, s.dataset, s.position
