"""Partitions: `shard` for response pools, `run` x `step` for checkpoints and scores of a model.

Only Dagster's keys name a run without its model, which the asset names. `dagster_key` and `full_partitions`
translate between them and the full names that a `Ref` has.
"""

import functools
from collections.abc import Iterable

import dagster as dg

from rsft_assets.specs.lineage import Ref, partitions_of, short_partition
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
        runs = tuple(run.short_name for run in study.runs_of(ref.name))
        return _grid(runs, tuple(map(str, _steps(study, ref.name))))
    return None


def _steps(study: Study, model: str) -> list[int]:
    return sorted({step for run in study.runs_of(model) for step in study.steps_of(run)})


def dagster_key(study: Study, ref: Ref) -> str:
    """Dagster's key of a partition; "" for an asset that has none."""
    key = short_partition(study, ref)
    if ref.stage not in ("checkpoints", "scores"):
        return key
    return dg.MultiPartitionKey(dict(zip(("run", "step"), key.split("|"), strict=True)))


def full_partitions(study: Study, asset: str) -> dict[str, str]:
    """Dagster's keys of an asset -> full names; cells of the grid past the end of their run are included."""
    ref = Ref(asset)
    names: Iterable[str] = partitions_of(study, asset) or ("",)
    if ref.stage in ("checkpoints", "scores"):
        steps = _steps(study, ref.name)
        names = (f"{run.name}|{step}" for run in study.runs_of(ref.name) for step in steps)
    return {dagster_key(study, Ref(asset, name)): name for name in names}
