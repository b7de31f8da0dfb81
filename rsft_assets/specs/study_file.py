"""A user's own study file: TOML with the fields of the spec dataclasses.

extends = "paper"                      # or "nano": whose benchmarks its models are scored on

[models.my-model]                      # tables: models, sources, pools, datasets, schedules, runs, benchmarks
family = "qwen3"
parameters = 1_720_000_000
origin = { repo = "me/my-model", revision = "0123…" }

[schedules.short]                      # named only here; runs refer to it
title = "Short"                        # what people read in place of its derived name; data sets have one too
lr = 2e-5
epochs = 2
batch_size = 64

[[runs]]                               # their names are derived
model = "my-model"
dataset = "math-cot-20k"
schedule = "short"

[adopt."qwen3-8b_math-*"]              # declared runs whose published checkpoints are taken over, by name or glob

[adopt."qwen3-8b_numinamath-20k_lr5e-5_ep8_bs256"]
revision = "0123…"                     # or `repo`: overrides what the run declares

[adopt_datasets]                       # the authors' sets and responses under the names of ours
"math-*" = {}
[adopt_pools]
"openr1-math_qwen3-32b_n32" = {}

[override.benchmarks.hex_phi]          # fields of a declared thing, or of its `origin`
items = 330

[pins]                                 # revisions of repositories for which nothing declares one
"open-r1/OpenR1-Math-220k" = "0123…"
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rsft_assets.specs import nano, paper
from rsft_assets.specs.benchmarks import Benchmark
from rsft_assets.specs.datasets import Dataset
from rsft_assets.specs.errors import SpecError, nearest
from rsft_assets.specs.hub import Hub
from rsft_assets.specs.models import Model
from rsft_assets.specs.queries import QuerySource
from rsft_assets.specs.responses import Pool
from rsft_assets.specs.toml_file import checked_fields, entry, read_toml, rows, shown
from rsft_assets.specs.training import Run, Schedule

STUDY_FILE_SETTING = "RSFT_STUDY"
_NAMED = {"models": Model, "sources": QuerySource, "pools": Pool, "datasets": Dataset, "benchmarks": Benchmark}
_EXTENDS = ("paper", "nano")
_ADOPT = ("adopt", "adopt_datasets", "adopt_pools")


@dataclass(frozen=True)
class StudyFile:
    """What a study file says."""

    extends: str = "paper"
    entries: dict[str, list[Any]] = field(default_factory=dict)
    """What it adds, by table."""
    adopt: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Run, by name or glob -> fields of a `Hub` that stand in for the declared run's."""
    adopt_datasets: dict[str, dict[str, Any]] = field(default_factory=dict)
    adopt_pools: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The same for data sets and pools."""
    override: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    """Table -> name -> fields that stand in for the declared thing's."""
    pins: dict[str, str] = field(default_factory=dict)
    """Repository -> revision, where nothing declares one."""


def read_study_file(path: Path) -> StudyFile:
    """The file, every field checked; whether its names are declared is seen when it is combined with the tables."""
    where = f"{STUDY_FILE_SETTING}={path}"
    tables = ("extends", *_NAMED, "schedules", "runs", *_ADOPT, "override", "pins")
    data = read_toml(STUDY_FILE_SETTING, path, tables=tables)
    extends = data.get("extends", "paper")
    if extends not in _EXTENDS:
        raise SpecError(f"{where}: field extends: {shown(extends)} is not one of {', '.join(_EXTENDS)}")
    entries: dict[str, list[Any]] = {
        table: [
            entry(kind, fields, f"{where}: {table}.{name}", {"name": name}) for name, fields in rows(data, table, where)
        ]
        for table, kind in _NAMED.items()
    }
    schedules = {run.schedule.name: run.schedule for module in (paper, nano) for run in module.RUNS}
    for name, fields in rows(data, "schedules", where):
        schedules[name] = entry(Schedule, fields, f"{where}: schedules.{name}")
    runs = data.get("runs", [])
    if not isinstance(runs, list):
        raise SpecError(f"{where}: runs must be a list of tables, [[runs]]: their names are derived")
    entries["runs"] = [_run(fields, f"{where}: runs[{i}]", schedules) for i, fields in enumerate(runs)]
    adopted = {
        table: {name: _published(fields, f"{where}: {table}", name) for name, fields in rows(data, table, where)}
        for table in _ADOPT
    }
    return StudyFile(
        extends,
        entries,
        adopted["adopt"],
        adopted["adopt_datasets"],
        adopted["adopt_pools"],
        override=_overrides(data, where),
        pins={repo: _revision(value, f"{where}: pins.{repo}") for repo, value in rows(data, "pins", where)},
    )


def _overrides(data: Mapping[str, Any], where: str) -> dict[str, dict[str, dict[str, Any]]]:
    tables = dict(rows(data, "override", where))
    for table in tables:
        if table not in _NAMED:
            raise SpecError(f"{where}: override: unknown table {table!r}: {nearest(table, _NAMED)}")
    overrides = {table: dict(rows(tables, table, f"{where}: override")) for table in tables}
    for table, by_name in overrides.items():
        for name, fields in by_name.items():
            if not isinstance(fields, dict):
                raise SpecError(f"{where}: override.{table}.{name}: {shown(fields)} must be a table of fields")
    return overrides


def _revision(value: Any, where: str) -> str:
    return entry(Hub, {"repo": "", "revision": value}, where).revision or ""


def _published(fields: Any, where: str, pattern: str) -> dict[str, Any]:
    where = f"{where}.{pattern}"
    if isinstance(fields, dict) and fields and set(pattern) & set("*?["):
        raise SpecError(f"{where}: {', '.join(fields)} would apply to everything that matches; name one")
    checked = checked_fields(Hub, fields, where)
    entry(Hub, {"repo": "", **fields}, where)
    return checked


def _run(fields: Any, where: str, schedules: Mapping[str, Schedule]) -> Run:
    name = fields.get("schedule") if isinstance(fields, dict) else None
    if not isinstance(name, str):
        return entry(Run, fields, where)
    if name not in schedules:
        raise SpecError(f"{where}: field schedule: unknown schedule {name!r}; {nearest(name, schedules)}")
    others = {key: value for key, value in fields.items() if key != "schedule"}
    return entry(Run, others, where, {"schedule": schedules[name]})
