-- How many rows each training set keeps of what it was made from, stage by stage, and why the others are gone.
-- grain: dataset, position
-- column stage: queries, queries answered, responses, verdicts by kind, queries with a correct response, rows
-- column share: of the stage that `of_stage` names
-- column state: counted, not judged (the set's rows have no verdict), or not made yet
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
        CASE WHEN count(verdict) > 0 THEN count(*) FILTER (WHERE verdict = 'correct') END AS verified,
        any_value(dataset_digest) AS digest,
        any_value(trace) AS trace
    FROM staging.dataset_rows
    GROUP BY dataset
),

-- A set made `like` another comes from the same pool, unless it takes only the queries and answers them otherwise.
origins AS (
    SELECT
        d.study,
        d.dataset,
        CASE
            WHEN d.recipe = 'human-solution' THEN NULL
            WHEN u.recipe = 'human-solution' THEN coalesce(d.pool, u.pool)
            ELSE coalesce(d.pool, u.pool, w.pool)
        END AS pool,
        coalesce(p.source, d.source, u.source, w.source) AS source
    FROM declared.datasets d
    LEFT JOIN declared.datasets u ON u.dataset = d.based_on
    LEFT JOIN declared.datasets w ON w.dataset = u.based_on
    LEFT JOIN declared.pools p ON p.pool = coalesce(d.pool, u.pool, w.pool)
),

pooled AS (
    FROM origins WHERE pool IS NOT NULL
),

stages AS (
    SELECT o.study, o.dataset, 1 AS position, 'queries' AS stage, s.queries AS amount, NULL AS of_stage
    FROM origins o
    LEFT JOIN per_source s USING (source)
    WHERE o.source IS NOT NULL
    UNION ALL
    SELECT o.study, o.dataset, 2, 'queries answered', q.answered, 'queries'
    FROM pooled o
    LEFT JOIN per_query q USING (pool)
    UNION ALL
    SELECT o.study, o.dataset, 3, 'responses', v.responses, NULL
    FROM pooled o
    LEFT JOIN per_pool v USING (pool)
    UNION ALL
    SELECT
        o.study,
        o.dataset,
        4 + list_position(['correct', 'wrong', 'unparseable', 'undecided'], k.verdict),
        'responses ' || k.verdict,
        CASE WHEN w.pool IS NOT NULL THEN coalesce(v.responses, 0) END,
        'responses'
    FROM pooled o
    CROSS JOIN (SELECT unnest(['correct', 'wrong', 'unparseable', 'undecided']) AS verdict) k
    LEFT JOIN per_pool w ON w.pool = o.pool
    LEFT JOIN per_verdict v ON v.pool = o.pool AND v.verdict = k.verdict
    UNION ALL
    SELECT o.study, o.dataset, 10, 'queries with a correct response', q.solved, 'queries'
    FROM pooled o
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
    CASE
        WHEN s.amount IS NOT NULL THEN 'counted'
        WHEN s.stage = 'rows judged correct' AND d.rows IS NOT NULL THEN 'not judged'
        ELSE 'not made yet'
    END AS state,
    d.digest AS dataset_digest,
    d.trace
FROM stages s
LEFT JOIN stages f ON f.dataset = s.dataset AND f.stage = s.of_stage
LEFT JOIN per_dataset d ON d.dataset = s.dataset
ORDER BY s.study, s.dataset, s.position
