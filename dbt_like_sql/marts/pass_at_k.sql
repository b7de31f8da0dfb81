-- What several samples of an item are worth: pass@k, whether at least one of k is correct, and majority@k, whether the
-- answer that most of k give is, from the stored samples, as the mean over all ways to draw k of them. With k = 1 both are
-- the score itself. Only metrics that read an answer out of each sample have a majority; it is a little high where equal
-- wrong answers are written differently, which counts them as several.
-- The interval is made as that of a score, from the scatter between items; an item counts as many samples as it has
-- groups of k that share none.
-- grain: run, step, benchmark, grader, metric, protocol, rule, k
-- column value: mean over items; where less is better, correct means that what is counted has happened
-- column low: 95 % interval, clustered by item
-- column items: items with at least k scored samples
-- column left_out: items of the score with fewer, which count neither for nor against
WITH summed AS (
    SELECT
        output_id,
        grader,
        metric,
        rule,
        k,
        sum(items)::BIGINT AS items,
        sum(items * (scored // k)) AS samples,
        sum(items * weight) AS weights,
        sum(items * weight ** 2) AS weights2,
        sum(items * weight * share) AS total,
        sum(items * weight ** 2 * share) AS total2,
        sum(items * (weight * share) ** 2) AS squares
    FROM staging.sample_groups
    GROUP BY ALL
),

-- As steps/scores/grading/intervals.py: Wilson's interval at as many independent answers as have the same variance.
spread AS (
    SELECT
        *,
        least(total / weights, 1) AS value,
        samples > items AND items > 1 AS is_repeated,
        weights ** 2 / weights2 AS fewest,
        greatest(squares - 2 * value * total2 + value ** 2 * weights2, 0) AS scatter,
        (items * value + 1) / (items + 2) AS drawn_in,
        CASE WHEN is_repeated
            THEN (scatter + 2 * (weights / items) ** 2 * drawn_in * (1 - drawn_in)) * (items - 1) / (items + 1)
            ELSE scatter
        END / weights ** 2 * items / greatest(items - 1, 1) AS variance
    FROM summed
),

effective AS (
    SELECT
        s.*,
        CASE WHEN is_repeated THEN coalesce(t.t, 1.959964 + 2.37227 / (items - 1)) ELSE 1.959964 END AS z,
        CASE
            WHEN value <= 0 OR value >= 1 THEN fewest
            WHEN variance > 0
                THEN least(greatest(value * (1 - value) / variance, fewest - 1, 1), greatest(samples, fewest))
            ELSE greatest(samples, fewest)
        END AS n
    FROM spread s
    LEFT JOIN seeds.student_t t ON t.tenths = 10 * (s.items - 1)
),

bounded AS (
    SELECT
        *,
        (value + z ** 2 / (2 * n)) / (1 + z ** 2 / n) AS middle,
        z / (1 + z ** 2 / n) * sqrt(value * (1 - value) / n + (z / (2 * n)) ** 2) AS half
    FROM effective
)

SELECT
    p.study,
    p.model,
    p.dataset,
    p.schedule,
    p.arm,
    p.seed,
    p.run,
    p.step,
    p.is_last,
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
    e.rule,
    e.k,
    e.value,
    greatest(least(e.middle - e.half, e.value), 0) AS low,
    least(greatest(e.middle + e.half, e.value), 1) AS high,
    e.items,
    p.items - e.items AS left_out,
    p.benchmark_version,
    p.protocol,
    p.trace
FROM bounded e
JOIN staging.score_points p
    ON p.source = 'ours' AND p.point_id = e.output_id AND p.grader = e.grader AND p.metric = e.metric
ORDER BY p.study, p.model, p.run, p.position, p.grader, p.metric, p.step, e.rule DESC, e.k
