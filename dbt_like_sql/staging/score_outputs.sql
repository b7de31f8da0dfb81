-- Every scores output that a declared run has: what was scored, on which benchmark, under which protocol.
-- Two scores are comparable only where `protocol` is the same: the same declared benchmark settings and the
-- same locked items.
-- grain: output_id
-- column protocol: short hash of the declared settings and of the locked items
-- column benchmark_version: 1 for the lock in use now, 2, 3, ... for others that scores were made with
-- column base_output_id: step 0 of the same run, or else of another run of the model, under the same protocol
WITH said AS (
    SELECT
        o.output_id,
        r.study,
        r.run,
        r.run_title,
        r.model,
        r.dataset,
        r.schedule,
        r.arm,
        r.seed,
        o.step,
        o.benchmark,
        b.title,
        b.benchmark_group,
        b.position,
        o.digest,
        checkpoint.digest AS checkpoint_digest,
        locked.digest AS benchmark_digest,
        texts.digest AS completions_digest,
        texts.input_id AS completions_id,
        left(md5(o.spec::VARCHAR || coalesce(locked.digest, '')), 10) AS protocol,
        o.origin,
        (
            SELECT string_agg(j.key || ': ' || (j.value ->> '$'), ', ' ORDER BY j.key) FROM json_each(o.stats -> 'judges') j
        ) AS judge,
        o.made_by ->> 'engine' AS engine,
        o.commit,
        o.finished_at,
        o.asset || '[' || o.partition || ']' AS trace
    FROM records.outputs o
    JOIN declared.runs r ON r.run = o.run
    JOIN declared.benchmarks b ON b.benchmark = o.benchmark
    LEFT JOIN records.inputs checkpoint
        ON checkpoint.output_id = o.output_id AND checkpoint.asset LIKE 'checkpoints/%'
    LEFT JOIN records.inputs locked ON locked.output_id = o.output_id AND locked.asset LIKE 'benchmarks/%'
    LEFT JOIN records.inputs texts ON texts.output_id = o.output_id AND texts.asset LIKE 'completions/%'
    WHERE o.stage = 'scores' AND o.damage IS NULL
),

versions AS (
    SELECT
        benchmark,
        benchmark_digest,
        row_number() OVER (
            PARTITION BY benchmark ORDER BY in_use DESC, first_seen DESC, benchmark_digest
        ) AS benchmark_version
    FROM (
        SELECT
            s.benchmark,
            s.benchmark_digest,
            min(s.finished_at) AS first_seen,
            bool_or(s.benchmark_digest = o.digest) AS in_use
        FROM said s
        LEFT JOIN records.outputs o ON o.stage = 'benchmarks' AND o.benchmark = s.benchmark
        GROUP BY ALL
    )
),

bases AS (
    SELECT model, benchmark, protocol, run, output_id
    FROM said
    WHERE step = 0
)

SELECT
    s.*,
    v.benchmark_version,
    coalesce(own.output_id, (
        SELECT min(b.output_id)
        FROM bases b
        WHERE b.model = s.model AND b.benchmark = s.benchmark AND b.protocol = s.protocol
    )) AS base_output_id
FROM said s
JOIN versions v ON v.benchmark = s.benchmark AND v.benchmark_digest IS NOT DISTINCT FROM s.benchmark_digest
LEFT JOIN bases own ON own.run = s.run AND own.benchmark = s.benchmark AND own.protocol = s.protocol
ORDER BY s.study, s.run, s.benchmark, s.step
