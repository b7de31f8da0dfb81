"""Results: the records of all stages as tables, the SQL that people read over them, and their publishing."""
