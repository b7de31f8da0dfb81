-- How long the answers are at each step, and what their growth over the base is made of.
-- Each answer is in one class: settled (ended with the end token), loop (ends repeating itself), cut (met the
-- token limit without a loop), no_end_token (stopped otherwise). The four `growth_` columns add up to `growth`,
-- so that a model that never learnt to stop is not mistaken for one that thinks longer.
-- grain: run, step, benchmark
-- column growth: mean tokens per answer above those of the base
-- column growth_low: 95 % interval, both lengths clustered by item, taken as unrelated
-- column growth_real: the part of it that comes from settled answers
SELECT
    s.study,
    s.model,
    s.dataset,
    s.schedule,
    s.seed,
    s.run,
    s.step,
    s.benchmark,
    s.title,
    s.benchmark_group,
    s.position,
    r.answers,
    r.mean_tokens,
    rs.mean_tokens_se,
    r.median_tokens,
    r.p90_tokens,
    r.truncated / r.answers AS truncation_rate,
    r.loops / r.answers AS loop_rate,
    r.no_end_token / r.answers AS no_end_token_rate,
    r.cut / r.answers AS cut_rate,
    r.settled / r.answers AS settled_rate,
    r.think_not_closed / r.answers AS think_not_closed_rate,
    b.mean_tokens AS base_mean_tokens,
    r.mean_tokens - b.mean_tokens AS growth,
    CASE WHEN s.step > 0 THEN growth - 1.959964 * sqrt(rs.mean_tokens_se ** 2 + bs.mean_tokens_se ** 2) END AS growth_low,
    CASE WHEN s.step > 0 THEN growth + 1.959964 * sqrt(rs.mean_tokens_se ** 2 + bs.mean_tokens_se ** 2) END AS growth_high,
    coalesce(r.tokens_in_settled, 0) / r.answers - coalesce(b.tokens_in_settled, 0) / b.answers AS growth_real,
    coalesce(r.tokens_in_no_end_token, 0) / r.answers
        - coalesce(b.tokens_in_no_end_token, 0) / b.answers AS growth_no_end_token,
    coalesce(r.tokens_in_loops, 0) / r.answers - coalesce(b.tokens_in_loops, 0) / b.answers AS growth_loops,
    coalesce(r.tokens_in_cut, 0) / r.answers - coalesce(b.tokens_in_cut, 0) / b.answers AS growth_cut,
    s.completions_digest,
    s.trace
FROM staging.score_outputs s
JOIN staging.response_shapes r ON r.completions_id = s.completions_id
JOIN staging.response_spread rs ON rs.completions_id = s.completions_id
LEFT JOIN staging.score_outputs base ON base.output_id = s.base_output_id
LEFT JOIN staging.response_shapes b ON b.completions_id = base.completions_id
LEFT JOIN staging.response_spread bs ON bs.completions_id = base.completions_id
ORDER BY s.study, s.model, s.run, s.position, s.step
