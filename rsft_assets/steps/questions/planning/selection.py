"""Selections to refs: globs over asset keys, and filters by run, step or partition.

cells(study, Selection(("scores/qwen3-14b/*",), steps=(640,)))
"""

import fnmatch
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from rsft_assets.specs.errors import SpecError, nearest
from rsft_assets.specs.lineage import Ref, asset_keys, partitions_of, short_partition
from rsft_assets.specs.study import Study
from rsft_assets.steps.figures.catalogue import figure_keys
from rsft_assets.steps.results.sql_files import results_keys


def all_keys(study: Study) -> tuple[str, ...]:
    """Every key that can be selected, results and figures included, upstream first."""
    return (*asset_keys(study), *results_keys(), *figure_keys(), "report")


@dataclass(frozen=True)
class Selection:
    """A request. Runs and whole partitions are given by full or short name, or by a glob over either."""

    globs: tuple[str, ...]
    """Over asset keys."""
    runs: tuple[str, ...] = ()
    steps: tuple[int, ...] = ()
    partitions: tuple[str, ...] = ()
    upstream: bool = False
    """Everything that it is made from, too."""
    force: bool = False
    """Made again even where it is finished."""

    def __str__(self) -> str:
        """The globs as a shell takes them."""
        return " ".join(f"'{glob}'" for glob in self.globs)

    def keep(self, study: Study, ref: Ref) -> bool:
        if self.partitions and ref.partition and not _matches(_partition_names(study, ref), self.partitions):
            return False
        if ref.stage not in ("checkpoints", "scores"):
            return True
        return (not self.runs or _matches(_run_names(study, ref), self.runs)) and (
            not self.steps or ref.step in self.steps
        )


def select(study: Study, globs: Iterable[str]) -> list[str]:
    """Asset keys that the globs match, upstream first; a glob that matches nothing is an error."""
    keys = all_keys(study)
    chosen: set[str] = set()
    for glob in globs:
        pattern = glob.strip().removeprefix('key:"').removesuffix('"').rstrip("/")
        matched = [key for key in keys if fnmatch.fnmatchcase(key, pattern)]
        # A plain folder of keys, such as `results` or `scores/nano-300k`, means all that is below it.
        matched = matched or [key for key in keys if key.startswith(f"{pattern}/")]
        if not matched:
            raise SpecError(f"no asset matches {glob!r}: {_hint(keys, pattern)}")
        chosen.update(matched)
    return [key for key in keys if key in chosen]


def _hint(keys: Sequence[str], pattern: str) -> str:
    stage, _, rest = pattern.partition("/")
    name = rest.partition("/")[0]
    names = sorted({key.split("/")[1] for key in keys if key.startswith(f"{stage}/") and "/" in key})
    if names and name and not set(name) & set("*?["):
        if name in names:
            return nearest(pattern, [key for key in keys if key.startswith(f"{stage}/{name}/")])
        return nearest(name, names)
    return nearest(pattern, [*keys, *sorted({key.split("/")[0] + "/*" for key in keys})])


def _partition_names(study: Study, ref: Ref) -> tuple[str, str]:
    return ref.partition, short_partition(study, ref)


def _run_names(study: Study, ref: Ref) -> tuple[str, str]:
    return ref.run, study.runs[ref.run].short_name


def _matches(names: Iterable[str], patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in patterns)


def cells(study: Study, selection: Selection) -> list[Ref]:
    """The cells that a selection means; a filter that can match nothing is an error."""
    keys, filed = select(study, selection.globs), set(asset_keys(study))
    refs = [Ref(key, part) for key in keys for part in (partitions_of(study, key) if key in filed else ()) or ("",)]
    _check(study, [ref for ref in refs if ref.partition], selection)
    return [ref for ref in refs if selection.keep(study, ref)]


def _check(study: Study, valid: Sequence[Ref], selection: Selection) -> None:
    gridded = [ref for ref in valid if ref.stage in ("checkpoints", "scores")]
    if selection.runs:
        _check_names("run", selection.runs, {_run_names(study, ref) for ref in gridded})
    if selection.partitions:
        _check_names("partition", selection.partitions, {_partition_names(study, ref) for ref in valid})
    of_runs = replace(selection, steps=())
    chosen = [ref for ref in valid if of_runs.keep(study, ref)]
    if valid and not chosen:
        raise SpecError("no partition matches --run and --partition together; leave one of them out")
    on_grid = set(gridded)
    steps = {ref.step for ref in chosen if ref in on_grid}
    for step in selection.steps:
        if not steps:
            raise SpecError(f"--step {step} is for checkpoints and scores, and {selection} selects neither")
        # A step past every end is skipped by name; one between two kept steps was never kept.
        if step not in steps and step < max(steps):
            raise SpecError(f"no selected run keeps step {step}; kept steps: {', '.join(map(str, sorted(steps)))}")


def _check_names(what: str, patterns: Iterable[str], names: set[tuple[str, str]]) -> None:
    for pattern in patterns:
        if not names:
            raise SpecError(f"--{what} {pattern!r}: no selected asset has a {what}; leave it out")
        if not any(_matches(spellings, [pattern]) for spellings in names):
            raise SpecError(f"unknown {what} {pattern!r}: {nearest(pattern, {short for _, short in names})}")


def past_the_end(study: Study, selection: Selection) -> list[str]:
    """A line for each run and step asked for that lies past the run's end."""
    keys = select(study, selection.globs)
    models = {Ref(key).name: None for key in keys if Ref(key).stage in ("checkpoints", "scores")}
    runs = [run for model in models for run in study.runs_of(model)]
    asked = [run for run in runs if not selection.runs or _matches((run.name, run.short_name), selection.runs)]
    ends = {run.name: study.steps_of(run)[-1] for run in asked}
    return [
        f"skipped {run} at step {step}: the run ends at step {ends[run]}"
        for run, step in itertools.product(ends, selection.steps)
        if step > ends[run]
    ]
