-- The standard error of the mean length of a checkpoint's answers to one benchmark, clustered by item like scores.
-- grain: completions_id
-- incremental: output_id
-- column mean_tokens_se: standard error of the mean number of tokens
SELECT
    output_id,
    output_id AS completions_id,
    sqrt(var_samp(mean_tokens) / count(*)) AS mean_tokens_se
FROM (
    SELECT output_id, item_id, avg(response_tokens) AS mean_tokens FROM records.completions GROUP BY ALL
)
GROUP BY output_id
