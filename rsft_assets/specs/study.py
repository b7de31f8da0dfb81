"""The study: every declared thing by name, from the package's tables and the user's own file.

`RSFT_STUDY` names a TOML file that adds to the tables (see docs/own_study.md). `load_study()` gives
one validated `Study`; a mistake raises `SpecError` with the field, the value and the valid choices.
"""

import functools
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from rsft_assets.specs import nano, paper
from rsft_assets.specs.benchmarks import Benchmark
from rsft_assets.specs.changes import change
from rsft_assets.specs.datasets import Dataset
from rsft_assets.specs.errors import SpecError, nearest
from rsft_assets.specs.lock import PAPER_LOCK, Key, LockedRepository, LockFile, load_lock, lock_file, read_lock
from rsft_assets.specs.models import Model
from rsft_assets.specs.queries import QuerySource
from rsft_assets.specs.responses import Pool
from rsft_assets.specs.study_file import STUDY_FILE_SETTING, StudyFile, read_study_file
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
    titles: dict[str, str] = field(default_factory=dict)
    """What a study is called where a study file extends it."""

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
    parts: Iterable[tuple[str, dict[str, Iterable[Any]]]],
    file: StudyFile | None = None,
    lock: Mapping[Key, LockedRepository] | None = None,
) -> Study:
    """One study from parts, each (study, {table: entries}). Names must be unique and references valid.

    `file` changes what they declare; repositories without a revision have the one of `lock`, by default the package's.
    """
    study = Study()
    for member_of, tables in parts:
        for table, entries in tables.items():
            for entry in entries:
                known = getattr(study, table)
                if entry.name in known:
                    remedy = f"rename one, or change the declared one by [override.{table}.{entry.name}]"
                    raise SpecError(f"{table} {entry.name!r} is declared twice; {remedy}")
                known[entry.name] = entry
                study.member_of[(table, entry.name)] = member_of
    locked = read_lock(PAPER_LOCK) if lock is None else lock
    change(study, file or StudyFile(), {key: entry.revision for key, entry in locked.items()})
    validate(study)
    return study


def tables_of(module: Any) -> dict[str, Iterable[Any]]:
    """The literal tables of `paper` or `nano`."""
    return {table: getattr(module, table.upper()) for table in Study.tables}


@functools.lru_cache(maxsize=4)
def _load(study_file: str | None, lock_file: LockFile | None = None, *, locked: bool = True) -> Study:
    parts: list[tuple[str, dict[str, Any]]] = [("paper", tables_of(paper)), ("nano", tables_of(nano))]
    lock = load_lock(lock_file) if locked else {}
    if study_file:
        file = read_study_file(Path(study_file))
        parts.append((file.extends, file.entries))
        try:
            study = combine(parts, file, lock)
        except SpecError as error:
            raise SpecError(f"{STUDY_FILE_SETTING}={study_file}: {error}") from error
        study.titles[file.extends] = f"{Path(study_file).stem}, beside the {file.extends} study"
        return study
    return combine(parts, lock=lock)


def load_study() -> Study:
    """The whole study, with the file that RSFT_STUDY names and the lock file if they are there."""
    return _load(os.environ.get(STUDY_FILE_SETTING) or None, lock_file())


def load_declared_study() -> Study:
    """The study with no revision but those that its declarations and the study file give."""
    return _load(os.environ.get(STUDY_FILE_SETTING) or None, lock_file(), locked=False)
