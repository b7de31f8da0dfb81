-- Every declared run: what is done, and what is missing.
-- grain: run
-- column steps: steps to keep, the untrained model included
-- column trained: steps that have a checkpoint
-- column last_trained: the last step that has a checkpoint
-- column total_steps: the step at which the run ends
-- column scores: scores that the study declares for the run
-- column done: scores that are made, or cannot be: the items of their benchmark cannot be had
-- column missing: scores that are not made yet, or damaged
-- column next: what the first missing score waits for
SELECT
    c.study,
    c.model,
    r.run_title,
    r.dataset,
    r.schedule,
    r.seed,
    c.run,
    count(DISTINCT c.step) AS steps,
    count(DISTINCT k.step) AS trained,
    max(k.step) AS last_trained,
    r.total_steps,
    count(*) AS scores,
    count(*) FILTER (WHERE c.state NOT IN ('not made', 'damaged')) AS done,
    count(*) FILTER (WHERE c.state IN ('not made', 'damaged')) AS missing,
    arg_min(c.waiting_for, c.step) FILTER (WHERE c.state IN ('not made', 'damaged')) AS next
FROM marts.coverage c
JOIN declared.runs r ON r.run = c.run
LEFT JOIN records.outputs k ON k.stage = 'checkpoints' AND k.run = c.run AND k.step = c.step AND k.damage IS NULL
GROUP BY ALL
