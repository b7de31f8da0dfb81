-- In which share of the ways to draw k samples of an item the correct answer has the most votes. Of several answers with
-- as many votes one is drawn; where nobody votes, none is correct. Shares of 0 are left out. They are rounded: sums made in
-- parallel differ in their last digits.
-- grain: correct, silent, wrong, k
-- column k: samples drawn
-- column share: share of the draws whose majority is correct
WITH RECURSIVE patterns AS (
    SELECT DISTINCT correct, silent, wrong
    FROM staging.vote_counts
    WHERE correct > 0
),

-- `votes` of the correct answer are drawn. Wrong answers with as many samples or more are gone through one by one, with
-- at most as many drawn of each; of all others (`free`) any number may be.
draws AS (
    SELECT
        correct,
        silent,
        wrong,
        unnest(range(1, correct + 1)) AS votes,
        0::BIGINT AS answers,
        0::BIGINT AS drawn,
        0::BIGINT AS ties,
        (silent + coalesce(list_sum(wrong), 0))::BIGINT AS free,
        1::DOUBLE AS ways
    FROM patterns
    UNION ALL
    SELECT
        correct,
        silent,
        wrong,
        votes,
        answers + 1,
        drawn + taken,
        ties + (taken = votes)::BIGINT,
        free - size,
        sum(ways * exp(lgamma(size + 1) - lgamma(taken + 1) - lgamma(size - taken + 1)))
    FROM (
        SELECT *, wrong[answers + 1] AS size, unnest(range(0, votes + 1)) AS taken
        FROM draws
        WHERE wrong[answers + 1] >= votes
    )
    GROUP BY ALL
),

filled AS (
    SELECT *, correct + silent + coalesce(list_sum(wrong), 0) AS scored, unnest(range(0, free + 1)) AS others
    FROM draws
    WHERE coalesce(wrong[answers + 1], 0) < votes
)

SELECT
    correct,
    silent,
    wrong,
    votes + drawn + others AS k,
    round(sum(ways / (ties + 1) * exp(
        lgamma(correct + 1) - lgamma(votes + 1) - lgamma(correct - votes + 1)
        + lgamma(free + 1) - lgamma(others + 1) - lgamma(free - others + 1)
        + lgamma(k + 1) + lgamma(scored - k + 1) - lgamma(scored + 1)
    )), 12) AS share
FROM filled
GROUP BY ALL
