-- How long the answers are at each step, and what their growth over the base is made of.
-- Each answer is in one class: settled (ended with the end token), loop (ends repeating itself), cut (met the
-- token limit without a loop), no_end_token (stopped otherwise). The four `growth_` columns add up to `growth`,
-- so that a model that did not learn to stop is not mistaken for one that thinks longer.
-- The mean over training seeds has an interval in which items and seeds vary. Every seed answers the same items, so
-- their part is taken as that of one seed: at most too wide.
-- Intervals are of one arm each. Which arms grow, and whose end is shorter than their longest, is counted in the report
-- after Holm's correction over all of them.
-- grain: run, step, benchmark
-- column run_group: the benchmark's group for this run; in domain is the kind of question that it was trained on
-- column growth: mean tokens per answer above those of the base
-- column growth_low: 95 % interval, both lengths clustered by item, taken as unrelated
-- column growth_real: the part of it that comes from settled answers
-- column arm_mean_tokens: mean over the training seeds of this model, set and schedule that were scored at this step
-- column arm_mean_tokens_low: 95 % interval in which items and training seeds vary; with one seed, items only
-- column arm_growth_low: the same for the mean growth
-- column arm_growth_se: standard error of it, for a test that corrects for many
-- column arm_growth_freedom: its degrees of freedom, from seeds and items: far out, few items make a difference
-- column items: questions that were answered
-- column seeds: training seeds that it is the mean of
WITH lengths AS (
    SELECT
        s.study,
        s.model,
        s.dataset,
        d.thinking,
        s.schedule,
        s.arm,
        s.seed,
        s.run,
        s.step,
        s.benchmark,
        s.title,
        s.benchmark_group,
        coalesce(g.run_group, s.benchmark_group) AS run_group,
        s.position,
        s.protocol,
        r.answers,
        r.answers / k.samples AS items,
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
        bs.mean_tokens_se AS base_mean_tokens_se,
        r.mean_tokens - b.mean_tokens AS growth,
        CASE WHEN s.step > 0 THEN sqrt(rs.mean_tokens_se ** 2 + bs.mean_tokens_se ** 2) END AS growth_se,
        coalesce(r.tokens_in_settled, 0) / r.answers - coalesce(b.tokens_in_settled, 0) / b.answers AS growth_real,
        coalesce(r.tokens_in_no_end_token, 0) / r.answers
            - coalesce(b.tokens_in_no_end_token, 0) / b.answers AS growth_no_end_token,
        coalesce(r.tokens_in_loops, 0) / r.answers - coalesce(b.tokens_in_loops, 0) / b.answers AS growth_loops,
        coalesce(r.tokens_in_cut, 0) / r.answers - coalesce(b.tokens_in_cut, 0) / b.answers AS growth_cut,
        s.completions_digest,
        s.trace
    FROM staging.score_outputs s
    JOIN declared.datasets d ON d.dataset = s.dataset
    JOIN declared.benchmarks k ON k.study = s.study AND k.benchmark = s.benchmark
    JOIN staging.response_shapes r ON r.completions_id = s.completions_id
    JOIN staging.response_spread rs ON rs.completions_id = s.completions_id
    LEFT JOIN declared.run_groups g ON g.run = s.run AND g.benchmark = s.benchmark
    LEFT JOIN staging.score_outputs base ON base.output_id = s.base_output_id
    LEFT JOIN staging.response_shapes b ON b.completions_id = base.completions_id
    LEFT JOIN staging.response_spread bs ON bs.completions_id = base.completions_id
),

arms AS (
    SELECT
        *,
        count(*) OVER arms AS seeds,
        avg(mean_tokens) OVER arms AS arm_mean_tokens,
        avg(growth) OVER arms AS arm_growth,
        avg(growth_real) OVER arms AS arm_growth_real,
        avg(mean_tokens_se) OVER arms ** 2 AS item_variance,
        avg(base_mean_tokens_se) OVER arms ** 2 AS base_variance,
        coalesce(var_samp(mean_tokens) OVER arms / seeds, 0) AS seed_variance
    FROM lengths
    WINDOW arms AS (PARTITION BY arm, step, benchmark, protocol)
),

-- There are so many more items than seeds that only the seeds cost degrees of freedom; above 30 of these, the first
-- term of the series of t is exact enough.
free AS (
    SELECT
        *,
        sqrt(item_variance + seed_variance) AS arm_se,
        CASE WHEN step > 0 THEN sqrt(item_variance + base_variance + seed_variance) END AS arm_growth_se,
        CASE WHEN seed_variance > 0 THEN 10 * (seeds - 1) * (arm_se ** 2 / seed_variance) ** 2 END AS tenths,
        CASE WHEN seed_variance > 0 THEN 10 * (seeds - 1) * (arm_growth_se ** 2 / seed_variance) ** 2 END
            AS growth_tenths,
        arm_growth_se ** 4 / nullif(
            (item_variance ** 2 + base_variance ** 2) / greatest(items - 1, 1)
            + coalesce(seed_variance ** 2 / nullif(seeds - 1, 0), 0),
            0
        ) AS arm_growth_freedom
    FROM arms
)

SELECT
    f.* EXCLUDE (growth_se, item_variance, base_variance, seed_variance, arm_se, tenths, growth_tenths),
    growth - 1.959964 * growth_se AS growth_low,
    growth + 1.959964 * growth_se AS growth_high,
    arm_mean_tokens - coalesce(t.t, 1.959964 + 23.7227 / f.tenths, 1.959964) * arm_se AS arm_mean_tokens_low,
    arm_mean_tokens + coalesce(t.t, 1.959964 + 23.7227 / f.tenths, 1.959964) * arm_se AS arm_mean_tokens_high,
    arm_growth - coalesce(g.t, 1.959964 + 23.7227 / growth_tenths, 1.959964) * arm_growth_se AS arm_growth_low,
    arm_growth + coalesce(g.t, 1.959964 + 23.7227 / growth_tenths, 1.959964) * arm_growth_se AS arm_growth_high
FROM free f
LEFT JOIN seeds.student_t t ON t.tenths = greatest(floor(least(f.tenths, 1e9)), 10)
LEFT JOIN seeds.student_t g ON g.tenths = greatest(floor(least(f.growth_tenths, 1e9)), 10)
ORDER BY study, model, run, position, step
