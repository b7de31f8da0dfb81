-- How the answers of one checkpoint to one benchmark ended, and how long they were: each answer in one class.
-- `settled` ended with the end token and does not repeat itself; `loop` ends repeating itself; `cut` met the
-- token limit without a loop; `no_end_token` stopped in some other way.
-- grain: completions_id
-- column mean_tokens_se: standard error of the mean length, clustered by item
-- incremental: output_id
WITH by_item AS (
    SELECT output_id, sqrt(var_samp(mean_tokens) / count(*)) AS mean_tokens_se
    FROM (
        SELECT output_id, item_id, avg(response_tokens) AS mean_tokens FROM records.completions GROUP BY ALL
    )
    GROUP BY output_id
)

SELECT
    c.output_id,
    c.output_id AS completions_id,
    count(*) AS answers,
    avg(response_tokens) AS mean_tokens,
    any_value(by_item.mean_tokens_se) AS mean_tokens_se,
    median(response_tokens) AS median_tokens,
    quantile_cont(response_tokens, 0.9) AS p90_tokens,
    count(*) FILTER (WHERE repetition_loop) AS loops,
    count(*) FILTER (WHERE NOT repetition_loop AND finish_reason = 'length') AS cut,
    count(*) FILTER (WHERE NOT repetition_loop AND finish_reason <> 'length' AND NOT ended_by_eos) AS no_end_token,
    count(*) FILTER (WHERE NOT repetition_loop AND finish_reason <> 'length' AND ended_by_eos) AS settled,
    count(*) FILTER (WHERE finish_reason = 'length') AS truncated,
    count(*) FILTER (WHERE NOT think_closed) AS think_not_closed,
    sum(response_tokens) FILTER (WHERE repetition_loop) AS tokens_in_loops,
    sum(response_tokens) FILTER (WHERE NOT repetition_loop AND finish_reason = 'length') AS tokens_in_cut,
    sum(response_tokens) FILTER (
        WHERE NOT repetition_loop AND finish_reason <> 'length' AND NOT ended_by_eos
    ) AS tokens_in_no_end_token,
    sum(response_tokens) FILTER (
        WHERE NOT repetition_loop AND finish_reason <> 'length' AND ended_by_eos
    ) AS tokens_in_settled
FROM records.completions c
JOIN by_item USING (output_id)
GROUP BY c.output_id
