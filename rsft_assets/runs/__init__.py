"""Batches of Dagster runs, dead runs, Dagster's instance and its syncing."""
