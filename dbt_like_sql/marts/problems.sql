-- Files and outputs that could not be read, and so are in no other table.
-- grain: place, problem
-- column place: folder below RSFT_HOME
SELECT DISTINCT place, problem
FROM records.problems
ORDER BY place, problem
