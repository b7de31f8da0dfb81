-- Outputs that are in no other table, and why: files that cannot be read, runs that are no longer declared.
-- grain: place, problem
-- column place: folder below RSFT_HOME, or the asset and run
SELECT DISTINCT place, problem
FROM records.problems
UNION ALL
SELECT
    o.asset || ' ' || o.run AS place,
    count(*) || ' outputs of a run that the study no longer declares' AS problem
FROM records.outputs o
LEFT JOIN declared.runs r ON r.run = o.run
WHERE o.run IS NOT NULL AND r.run IS NULL
GROUP BY o.asset, o.run
ORDER BY place, problem
