-- The training curve of each run, once: every checkpoint repeats the steps before it, so each step is taken from
-- the latest checkpoint that has it.
-- grain: run, step
SELECT
    o.run,
    c.step,
    c.epoch,
    c.loss,
    c.grad_norm,
    c.lr,
    c.tokens,
    c.seconds,
    c.held_out_loss,
    c.entropy,
    c.base_kl,
    o.step AS from_step,
    o.digest AS checkpoint_digest,
    o.output_id
FROM records.curves c
JOIN records.outputs o USING (output_id)
QUALIFY row_number() OVER (PARTITION BY o.run, c.step ORDER BY o.step DESC) = 1
