-- What does the model's size change? The gain of the same data and schedule on models of different sizes, and
-- where along the run each model stood best: the paper's Figure 5.
-- Intervals are of one model each. The report compares pairs of models on one recipe, and corrects by Holm's method over
-- all pairs, recipes and benchmarks.
-- column mixture: what the base was pretrained on, where that was done here; sizes compare within one
-- grain: source, run, benchmark, grader, metric, protocol
-- column gain: end of the run minus the untrained model, on the same items
-- column arm_gain: the same, mean over the training seeds of this model, set and schedule
-- column arm_gain_low: 95 % interval in which items and training seeds vary; with one seed, items only
-- column arm_gain_centre: middle of the interval; with its standard error and degrees of freedom, to compare models
-- column best_step: step with the best score; chosen after looking, so best_value is a little too good
SELECT
    p.source,
    p.study,
    p.dataset,
    p.schedule,
    m.family,
    m.mixture,
    p.model,
    m.parameters,
    p.seed,
    p.run,
    p.step AS end_step,
    p.benchmark,
    p.title,
    p.benchmark_group,
    p.position,
    p.grader,
    p.metric,
    p.is_headline,
    p.is_default,
    p.unit,
    p.lower_is_better,
    b.value AS base_value,
    p.value AS end_value,
    g.difference AS gain,
    g.low AS gain_low,
    g.high AS gain_high,
    coalesce(g.beyond_noise, false) AS is_gain_beyond_noise,
    ga.arm_difference AS arm_gain,
    ga.arm_low AS arm_gain_low,
    ga.arm_high AS arm_gain_high,
    ga.arm_centre AS arm_gain_centre,
    ga.arm_se AS arm_gain_se,
    ga.arm_freedom AS arm_gain_freedom,
    ga.seeds,
    ga.arm_method,
    t.best_step,
    best.value AS best_value,
    p.items,
    g.method,
    count(DISTINCT p.model) OVER (
        PARTITION BY p.source, p.dataset, p.schedule, p.benchmark, p.grader, p.metric, p.protocol
    ) AS models_compared,
    p.protocol,
    p.trace
FROM staging.score_points p
JOIN declared.models m USING (model)
LEFT JOIN staging.score_points b ON b.point_id = p.base_point_id AND b.grader = p.grader AND b.metric = p.metric
LEFT JOIN staging.differences g
    ON g.point_id = p.point_id AND g.other_point_id = p.base_point_id AND g.grader = p.grader AND g.metric = p.metric
LEFT JOIN staging.arm_differences ga
    ON ga.point_id = p.point_id AND ga.other_point_id = p.base_point_id AND ga.grader = p.grader AND ga.metric = p.metric
LEFT JOIN staging.best_steps t
    ON t.source = p.source AND t.run = p.run AND t.benchmark = p.benchmark AND t.grader = p.grader
    AND t.metric = p.metric AND t.protocol = p.protocol
LEFT JOIN staging.score_points best
    ON best.point_id = t.best_id AND best.grader = p.grader AND best.metric = p.metric
WHERE p.is_last
ORDER BY p.source, p.study, p.dataset, p.schedule, p.position, p.grader, p.metric, m.parameters, p.seed
