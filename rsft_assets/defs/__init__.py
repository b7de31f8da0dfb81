"""LINEAGE: the only folder that imports Dagster; it wires the steps into assets."""
