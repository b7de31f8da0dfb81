-- Every score: one number for each checkpoint, benchmark, grader and metric, with what it takes to trust it.
-- grain: run, step, benchmark, grader, metric
-- column is_default: the one row that stands for the score: the headline metric under the strict grader
-- column instead: what stands where there is no number: no access, no judge, no isolation, undecided, …
-- column value: mean over items of the mean over samples; a share from 0 to 1 but for rewards and scales
-- column low: 95 % interval, clustered by item
-- column undecided_rate: share of samples that could not be decided, which count neither for nor against
-- column truncation_rate: share of samples that the token limit ended
-- column benchmark_version: 1 for the benchmark as it is locked now; scores of other versions are not comparable
-- column trace: what to give to `rsft trace`
SELECT
    s.study,
    s.model,
    s.dataset,
    s.schedule,
    s.seed,
    s.run,
    s.run_title,
    s.step,
    t.epoch,
    t.is_last,
    s.benchmark,
    s.title,
    s.benchmark_group,
    v.grader,
    v.metric,
    m.is_headline,
    coalesce(m.is_headline AND v.grader = 'strict', false) AS is_default,
    m.unit,
    m.lower_is_better,
    v.state,
    CASE v.state WHEN 'scored' THEN NULL WHEN 'undecided' THEN 'undecided' ELSE split_part(v.reason, ':', 1) END AS instead,
    v.value,
    v.low,
    v.high,
    v.items,
    v.samples,
    v.undecided,
    v.undecided / nullif(v.samples, 0) AS undecided_rate,
    v.not_run,
    v.truncated,
    v.truncated / nullif(v.samples, 0) AS truncation_rate,
    v.pass_at_k,
    v.mean_tokens,
    v.median_tokens,
    v.p90_tokens,
    v.reason,
    s.judge,
    s.engine,
    s.benchmark_version,
    s.protocol,
    s.origin,
    s.digest AS score_digest,
    s.checkpoint_digest,
    s.benchmark_digest,
    s.completions_digest,
    s.commit,
    s.finished_at,
    s.trace,
    s.output_id
FROM staging.score_outputs s
JOIN records.scores v ON v.output_id = s.output_id AND v.category = 'all'
LEFT JOIN declared.metrics m ON m.benchmark = s.benchmark AND m.metric = v.metric
LEFT JOIN declared.run_steps t ON t.run = s.run AND t.step = s.step
ORDER BY s.study, s.model, s.run, s.position, v.grader, v.metric, s.step
