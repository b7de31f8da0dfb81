-- The pairs of steps that an arm is judged by, in each of its runs.
-- grain: source, run, benchmark, grader, metric, protocol, part
-- column part: fall (peak to valley), rise (valley to top) or erosion (best earlier step to the last)
-- column point_id: the later of the two
WITH pairs AS (
    SELECT
        v.source,
        v.run,
        v.benchmark,
        v.grader,
        v.metric,
        v.protocol,
        v.lower_is_better,
        v.steps,
        unnest([
            {part: 'fall', later: v.valley_id, earlier: v.peak_id},
            {part: 'rise', later: v.top_id, earlier: v.valley_id},
            {part: 'erosion', later: v.end_id, earlier: v.erosion_id}
        ]) AS pair
    FROM staging.valleys v
)

SELECT * EXCLUDE (pair), pair.part AS part, pair.later AS point_id, pair.earlier AS other_point_id
FROM pairs
WHERE pair.later IS NOT NULL AND pair.earlier IS NOT NULL
