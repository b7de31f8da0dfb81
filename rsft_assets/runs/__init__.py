"""Many cells in one go: batches of Dagster runs, dead runs, Dagster's instance and its syncing."""
