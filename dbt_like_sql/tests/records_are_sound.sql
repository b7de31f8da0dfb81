-- Outputs that are in no table: files that could not be read, runs that are no longer declared.
-- severity: warn
SELECT place, problem
FROM marts.problems
