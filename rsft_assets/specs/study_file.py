"""A user's own study file: TOML with the fields of the spec dataclasses.

extends = "paper"                      # or "nano": whose benchmarks its models are scored on

[models.my-model]                      # tables: models, sources, pools, datasets, schedules, runs, benchmarks
family = "qwen3"
parameters = 1_720_000_000
origin = { repo = "me/my-model", revision = "0123…" }

[schedules.short]                      # named only here; runs refer to it
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
"""

from collections.abc import Mapping
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
from rsft_assets.specs.toml_file import entry, read_toml, rows, shown
from rsft_assets.specs.training import Run, Schedule

STUDY_FILE_SETTING = "RSFT_STUDY"
_NAMED = {"models": Model, "sources": QuerySource, "pools": Pool, "datasets": Dataset, "benchmarks": Benchmark}
_EXTENDS = ("paper", "nano")


def read_study_file(path: Path) -> tuple[str, dict[str, list[Any]], dict[str, dict[str, Any]]]:
    """(study it extends, entries by table, what to adopt).

    What to adopt maps a run name or glob to fields of a `Hub` that override the declared run's.
    """
    where = f"{STUDY_FILE_SETTING}={path}"
    data = read_toml(STUDY_FILE_SETTING, path, tables=("extends", *_NAMED, "schedules", "runs", "adopt"))
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
    return extends, entries, {name: _pin(fields, where, name) for name, fields in rows(data, "adopt", where)}


def _pin(fields: Any, where: str, pattern: str) -> dict[str, Any]:
    where = f"{where}: adopt.{pattern}"
    if isinstance(fields, dict) and fields and set(pattern) & set("*?["):
        raise SpecError(f"{where}: {', '.join(fields)} would apply to every matching run; name one run")
    entry(Hub, {"repo": "", **fields} if isinstance(fields, dict) else fields, where)
    return dict(fields)


def _run(fields: Any, where: str, schedules: Mapping[str, Schedule]) -> Run:
    name = fields.get("schedule") if isinstance(fields, dict) else None
    if not isinstance(name, str):
        return entry(Run, fields, where)
    if name not in schedules:
        raise SpecError(f"{where}: field schedule: unknown schedule {name!r}; {nearest(name, schedules)}")
    others = {field: value for field, value in fields.items() if field != "schedule"}
    return entry(Run, others, where, {"schedule": schedules[name]})
