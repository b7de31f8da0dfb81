-- How each training went, step by step.
-- Raw and smooth values, learning rate and speed: marts.training_curves.
-- grain: run, step
SELECT study, model, run_title, run, step, epoch, loss_smooth, held_out_loss, entropy_smooth, base_kl, grad_norm,
    tokens_so_far, trace
FROM marts.training_curves
JOIN (SELECT run, run_title FROM declared.runs) USING (run)
