"""Partitions: `shard` for response pools, `run` x `step` for checkpoints and scores of a model."""

import functools

import dagster as dg

from rsft_assets.specs.lineage import Ref, partitions_of
from rsft_assets.specs.study import Study


@functools.cache
def _static(keys: tuple[str, ...]) -> dg.StaticPartitionsDefinition:
    return dg.StaticPartitionsDefinition(list(keys))


@functools.cache
def _grid(runs: tuple[str, ...], steps: tuple[str, ...]) -> dg.MultiPartitionsDefinition:
    return dg.MultiPartitionsDefinition({"run": _static(runs), "step": _static(steps)})


def partitions_definition(study: Study, asset: str) -> dg.PartitionsDefinition | None:
    """Dagster's form of an asset's partitions; the grid holds cells that a short run never reaches."""
    ref = Ref(asset)
    if ref.stage in ("responses", "verdicts"):
        return _static(partitions_of(study, asset))
    if ref.stage in ("checkpoints", "scores"):
        runs = study.runs_of(ref.name)
        steps = sorted({step for run in runs for step in study.steps_of(run)})
        return _grid(tuple(run.name for run in runs), tuple(map(str, steps)))
    return None
