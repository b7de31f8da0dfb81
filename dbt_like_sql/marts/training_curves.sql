-- Loss, entropy, divergence from the base, gradient norm, learning rate and speed of every run, step by step.
-- grain: run, step
-- column loss_smooth: mean over this step and the nine before it
-- column entropy_smooth: mean over this step and the nine before it
-- column tokens_so_far: response tokens trained on up to this step
SELECT
    r.study,
    r.model,
    r.dataset,
    r.schedule,
    r.seed,
    c.run,
    c.step,
    c.epoch,
    c.loss,
    avg(c.loss) OVER (PARTITION BY c.run ORDER BY c.step ROWS 9 PRECEDING) AS loss_smooth,
    c.held_out_loss,
    c.entropy,
    avg(c.entropy) OVER (PARTITION BY c.run ORDER BY c.step ROWS 9 PRECEDING) AS entropy_smooth,
    c.base_kl,
    c.grad_norm,
    c.lr,
    c.tokens,
    sum(c.tokens) OVER (PARTITION BY c.run ORDER BY c.step)::BIGINT AS tokens_so_far,
    c.seconds,
    c.tokens / nullif(c.seconds, 0) AS tokens_per_second,
    c.checkpoint_digest,
    'checkpoints/' || r.model || '[' || c.run || '|' || c.from_step || ']' AS trace
FROM staging.run_curves c
JOIN declared.runs r USING (run)
ORDER BY r.study, c.run, c.step
