"""Cells of a plan in batches, each one Dagster run: a model's scores, say, with a block of partitions."""

import itertools
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rsft_assets.specs.lineage import Ref, partitions_of
from rsft_assets.specs.study import Study

_T = TypeVar("_T")
_GRID = ("checkpoints", "scores")
_TO_THE_END = sys.maxsize


@dataclass(frozen=True)
class Batch:
    """Assets, crossed with the partitions of a block where they have any."""

    assets: tuple[str, ...]
    partitions: tuple[str, ...] = ("",)
    """In order."""

    @property
    def corners(self) -> tuple[str, str]:
        """First and last cell of the block; the last one may lie past the end of its run."""
        first, last = self.partitions[0], Ref(self.assets[0], self.partitions[-1])
        if last.stage not in _GRID:
            return first, last.partition
        return first, f"{last.run}|{max(Ref(last.asset, partition).step for partition in self.partitions)}"

    @property
    def title(self) -> str:
        first = self.assets[0]
        return first if len(self.assets) == 1 and Ref(first).stage == "benchmarks" else _together(first)


def _together(asset: str) -> str:
    """What one run makes: a model's scores, all tables, all figures, all benchmarks, which are many and small; every
    other asset by itself.
    """
    ref = Ref(asset)
    if ref.stage == "scores":
        return f"scores/{ref.name}"
    return ref.stage if ref.stage in ("results", "figures", "benchmarks") else asset


def batches(study: Study, refs: Iterable[Ref]) -> list[Batch]:
    """What belongs together, where it wants the same block; `refs` are in order, upstream first."""
    groups: dict[str, dict[str, list[str]]] = {}
    for ref in refs:
        groups.setdefault(_together(ref.asset), {}).setdefault(ref.asset, []).append(ref.partition)
    made: list[Batch] = []
    for assets in groups.values():
        same: dict[tuple[str, ...], list[str]] = {}
        for asset, partitions in assets.items():
            same.setdefault(tuple(partitions), []).append(asset)
        for wanted, together in same.items():
            made += [Batch(tuple(together), block) for block in blocks(study, together[0], wanted)]
    return made


def blocks(study: Study, asset: str, partitions: Sequence[str]) -> list[tuple[str, ...]]:
    """These partitions in few ranges that hold them and, but for cells past an end, no others."""
    if tuple(partitions) == ("",):
        return [("",)]
    if Ref(asset).stage not in _GRID:
        return [tuple(part) for part in _neighbours(partitions_of(study, asset), set(partitions))]
    by_run: dict[str, set[int]] = {}
    for ref in (Ref(asset, partition) for partition in partitions):
        by_run.setdefault(ref.run, set()).add(ref.step)
    # Runs that are wanted up to their ends can share a block whatever their lengths: cells past an end are skipped.
    return min((_grid_blocks(study, asset, by_run, to_the_end=ends) for ends in (False, True)), key=len)


def _grid_blocks(
    study: Study, asset: str, by_run: Mapping[str, set[int]], *, to_the_end: bool
) -> list[tuple[str, ...]]:
    """Blocks of runs that are wanted between the same steps; or, where one is a run's last, to their ends."""
    spans: dict[tuple[int, int], dict[str, list[int]]] = {}
    for run, steps in by_run.items():
        kept = study.steps_of(study.runs[run])
        for span in _neighbours(kept, steps):
            last = _TO_THE_END if to_the_end and span[-1] == kept[-1] else span[-1]
            spans.setdefault((span[0], last), {})[run] = span
    order = [run.name for run in study.runs_of(Ref(asset).name)]
    return [
        tuple(f"{run}|{step}" for run in runs for step in spans[corners][run])
        for corners in sorted(spans)
        for runs in _neighbours(order, set(spans[corners]))
    ]


def _neighbours(order: Sequence[_T], wanted: set[_T]) -> list[list[_T]]:
    """Runs of neighbours in `order` that are all wanted."""
    groups = itertools.groupby(order, key=lambda item: item in wanted)
    return [list(group) for chosen, group in groups if chosen]
