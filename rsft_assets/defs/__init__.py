"""LINEAGE: the steps wired into Dagster's assets."""
