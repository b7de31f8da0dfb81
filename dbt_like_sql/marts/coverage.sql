-- Every score that the study declares: its state, and what is missing where it is not made.
-- grain: run, step, benchmark
-- column state: scored, undecided, not-run, no-access (the benchmark's items could not be had), damaged, or not made
-- column instead: what stands where there is no number: no access, no judge, no isolation, undecided, …
-- column waiting_for: where it is not made, the first thing that is missing for it
WITH declared_scores AS (
    SELECT t.study, t.run, t.model, t.step, t.is_last, t.partition, b.benchmark, b.benchmark_group, b.position
    FROM declared.run_steps t
    JOIN declared.benchmarks b USING (study)
),

reported AS (
    SELECT
        output_id,
        max(state) FILTER (WHERE state = 'scored') AS scored,
        max(state) AS state,
        max(reason) FILTER (WHERE reason <> '') AS reason
    FROM records.scores
    GROUP BY output_id
)

SELECT
    d.study,
    d.model,
    d.run,
    d.step,
    d.is_last,
    d.benchmark,
    d.benchmark_group,
    CASE
        WHEN o.damage IS NOT NULL THEN 'damaged'
        WHEN o.output_id IS NULL AND b.stats ->> 'access' = 'none' THEN 'no-access'
        WHEN o.output_id IS NULL THEN 'not made'
        ELSE coalesce(r.scored, r.state, 'not-run')
    END AS state,
    CASE
        WHEN o.damage IS NOT NULL THEN o.damage
        WHEN o.output_id IS NULL AND b.stats ->> 'access' = 'none' THEN b.stats ->> 'reason'
        WHEN r.scored IS NULL THEN coalesce(r.reason, '')
        ELSE ''
    END AS reason,
    CASE
        WHEN o.damage IS NOT NULL THEN 'damaged'
        WHEN o.output_id IS NULL AND b.stats ->> 'access' = 'none' THEN 'no access'
        WHEN o.output_id IS NULL THEN 'not made'
        WHEN r.scored IS NOT NULL THEN NULL
        WHEN r.state = 'undecided' THEN 'undecided'
        ELSE split_part(coalesce(r.reason, 'not run'), ':', 1)
    END AS instead,
    CASE
        WHEN o.output_id IS NOT NULL THEN NULL
        WHEN k.output_id IS NULL THEN 'checkpoints/' || d.model || '[' || d.partition || ']'
        WHEN b.output_id IS NULL THEN 'benchmarks/' || d.benchmark
        ELSE 'scores/' || d.model || '/' || d.benchmark || '[' || d.partition || ']'
    END AS waiting_for
FROM declared_scores d
LEFT JOIN records.outputs o
    ON o.stage = 'scores' AND o.run = d.run AND o.step = d.step AND o.benchmark = d.benchmark
LEFT JOIN reported r ON r.output_id = o.output_id
LEFT JOIN records.outputs k ON k.stage = 'checkpoints' AND k.run = d.run AND k.step = d.step
LEFT JOIN records.outputs b ON b.stage = 'benchmarks' AND b.benchmark = d.benchmark
ORDER BY d.study, d.run, d.position, d.step
