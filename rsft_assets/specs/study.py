"""The study: every declared thing by name, from the package's tables and the user's own file.

`RSFT_STUDY` names a TOML file that adds to the tables (see README, "Add your own"). `load_study()` gives
one validated `Study`; a mistake raises `SpecError` with the field, the value and the valid choices.
"""

import fnmatch
import functools
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from rsft_assets.specs import nano, paper
from rsft_assets.specs.benchmarks import Benchmark
from rsft_assets.specs.datasets import Dataset
from rsft_assets.specs.errors import SpecError, nearest
from rsft_assets.specs.hub import Hub
from rsft_assets.specs.models import Model
from rsft_assets.specs.queries import QuerySource
from rsft_assets.specs.responses import Pool
from rsft_assets.specs.study_file import STUDY_FILE_SETTING, read_study_file
from rsft_assets.specs.training import Run
from rsft_assets.specs.validation import validate


@dataclass(frozen=True)
class Study:
    """All declared things, each table keyed by name; `member_of` says which study a thing belongs to."""

    tables: ClassVar = ("models", "sources", "pools", "datasets", "runs", "benchmarks")
    models: dict[str, Model] = field(default_factory=dict)
    sources: dict[str, QuerySource] = field(default_factory=dict)
    pools: dict[str, Pool] = field(default_factory=dict)
    datasets: dict[str, Dataset] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    benchmarks: dict[str, Benchmark] = field(default_factory=dict)
    member_of: dict[tuple[str, str], str] = field(default_factory=dict)
    """(table, name) -> "paper" or "nano"."""

    def get(self, table: str, name: str) -> Any:
        """One entry, or a `SpecError` with the nearest valid names."""
        entries: dict[str, Any] = getattr(self, table)
        if name not in entries:
            raise SpecError(f"unknown {table.rstrip('s')} {name!r}: {nearest(name, entries)}")
        return entries[name]

    def runs_of(self, model: str) -> tuple[Run, ...]:
        return tuple(run for run in self.runs.values() if run.model == model)

    def steps_of(self, run: Run) -> tuple[int, ...]:
        """The kept steps of a run, 0 (the base model) and the last included."""
        return run.schedule.kept_steps(self.datasets[run.dataset].rows)

    def benchmarks_of(self, model: str) -> tuple[Benchmark, ...]:
        """What a model is scored on: every benchmark of its study."""
        study = self.member_of[("models", model)]
        return tuple(b for b in self.benchmarks.values() if self.member_of[("benchmarks", b.name)] == study)


def combine(
    parts: Iterable[tuple[str, dict[str, Iterable[Any]]]], adopted: Mapping[str, Mapping[str, Any]] | None = None
) -> Study:
    """One study from parts, each (study, {table: entries}). Names must be unique and references valid.

    Runs that match a pattern of `adopted` use their published checkpoints; its fields override the source.
    """
    study = Study()
    for member_of, tables in parts:
        for table, entries in tables.items():
            for entry in entries:
                known = getattr(study, table)
                if entry.name in known:
                    raise SpecError(f"{table} {entry.name!r} is declared twice; rename one")
                known[entry.name] = entry
                study.member_of[(table, entry.name)] = member_of
    for pattern, fields in (adopted or {}).items():
        _adopt(study, pattern, fields)
    validate(study)
    return study


def _adopt(study: Study, pattern: str, fields: Mapping[str, Any]) -> None:
    matched = [run for name, run in study.runs.items() if fnmatch.fnmatchcase(name, pattern)]
    if not matched:
        raise SpecError(f"adopt {pattern!r}: no run matches: {nearest(pattern, study.runs)}")
    # A glob selects published runs only. A name, or a glob that matches no published run, is left to validation.
    for run in [run for run in matched if run.published] or matched:
        known = run.published or (Hub(repo="") if "repo" in fields else None)
        study.runs[run.name] = replace(run, adopt=True, published=replace(known, **fields) if known else None)


def tables_of(module: Any) -> dict[str, Iterable[Any]]:
    """The literal tables of `paper` or `nano`."""
    return {table: getattr(module, table.upper()) for table in Study.tables}


@functools.lru_cache(maxsize=4)
def _load(study_file: str | None) -> Study:
    parts: list[tuple[str, dict[str, Any]]] = [("paper", tables_of(paper)), ("nano", tables_of(nano))]
    if study_file:
        extends, entries, adopted = read_study_file(Path(study_file))
        parts.append((extends, entries))
        try:
            return combine(parts, adopted)
        except SpecError as error:
            raise SpecError(f"{STUDY_FILE_SETTING}={study_file}: {error}") from error
    return combine(parts)


def load_study() -> Study:
    """The whole study, with the file that RSFT_STUDY names if it is set."""
    return _load(os.environ.get(STUDY_FILE_SETTING) or None)
