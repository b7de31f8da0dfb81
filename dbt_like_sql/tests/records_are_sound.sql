-- Files that could not be read, and outputs left out because of it.
-- severity: warn
SELECT place, problem
FROM marts.problems
