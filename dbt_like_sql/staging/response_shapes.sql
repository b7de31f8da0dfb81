-- How the answers of one checkpoint to one benchmark ended, and how long they were: each answer in one class.
-- `settled` ended with the end token and does not repeat itself; `loop` ends repeating itself; `cut` met the
-- token limit without a loop; `no_end_token` stopped in some other way.
-- grain: completions_id
-- incremental: output_id
SELECT
    output_id,
    output_id AS completions_id,
    count(*) AS answers,
    avg(response_tokens) AS mean_tokens,
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
FROM records.completions
GROUP BY output_id
