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
revision = "0123…"                     # or `repo`: what the declared run does not know, or knows otherwise
"""

import dataclasses
import tomllib
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from rsft_assets.specs import nano, paper
from rsft_assets.specs.benchmarks import Benchmark
from rsft_assets.specs.datasets import Dataset
from rsft_assets.specs.errors import SpecError, nearest
from rsft_assets.specs.hub import Hub
from rsft_assets.specs.models import Model
from rsft_assets.specs.queries import QuerySource
from rsft_assets.specs.responses import Pool
from rsft_assets.specs.training import Run, Schedule

_NAMED = {"models": Model, "sources": QuerySource, "pools": Pool, "datasets": Dataset, "benchmarks": Benchmark}


def read_study_file(path: Path) -> tuple[str, dict[str, list[Any]], dict[str, dict[str, Any]]]:
    """(study it extends, entries by table, what to adopt); a mistake names the file, the field and what is valid.

    What to adopt is by run name or glob: fields of a `Hub` that stand in for the declared run's.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(
            f"RSFT_STUDY={path}: {error.strerror}; name a readable TOML file or unset RSFT_STUDY"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: not valid TOML: {error}") from error
    extends = data.pop("extends", "paper")
    if extends not in ("paper", "nano"):
        raise SpecError(f"{path}: field extends: {extends!r} is not one of paper, nano")
    for table in data:
        if table not in (valid := (*_NAMED, "schedules", "runs", "adopt")):
            raise SpecError(f"{path}: unknown table {table!r}: {nearest(table, valid)}")
    entries: dict[str, list[Any]] = {
        table: [
            _entry(kind, fields, f"{path}: {table}.{name}", {"name": name}) for name, fields in _rows(data, table, path)
        ]
        for table, kind in _NAMED.items()
    }
    schedules = {schedule.name: schedule for module in (paper, nano) for schedule in _schedules_of(module)}
    for name, fields in _rows(data, "schedules", path):
        schedules[name] = _entry(Schedule, fields, f"{path}: schedules.{name}", {})
    entries["runs"] = [
        _run(fields, f"{path}: runs[{i}]", schedules) for i, fields in enumerate(_list(data.get("runs", []), path))
    ]
    return extends, entries, {pattern: _pin(fields, path, pattern) for pattern, fields in _rows(data, "adopt", path)}


def _pin(fields: Any, path: Path, pattern: str) -> dict[str, Any]:
    where = f"{path}: adopt.{pattern}"
    if not isinstance(fields, dict):
        raise SpecError(f"{where}: {fields!r} must be a table of fields")
    if fields and set(pattern) & set("*?["):
        raise SpecError(f"{where}: {', '.join(fields)} would hold for every run that matches; name one run")
    _entry(Hub, {"repo": "", **fields}, where, {})
    return dict(fields)


def _schedules_of(module: Any) -> set[Schedule]:
    return {run.schedule for run in module.RUNS}


def _rows(data: Mapping[str, Any], table: str, path: Path) -> list[tuple[str, Any]]:
    rows = data.get(table, {})
    if not isinstance(rows, dict):
        raise SpecError(f"{path}: {table} must be tables, [{table}.some-name]")
    return list(rows.items())


def _list(rows: Any, path: Path) -> list[Any]:
    if not isinstance(rows, list):
        raise SpecError(f"{path}: runs must be a list of tables, [[runs]]: their names are derived")
    return rows


def _run(fields: Any, where: str, schedules: Mapping[str, Schedule]) -> Run:
    name = fields.get("schedule") if isinstance(fields, dict) else None
    if isinstance(name, str):
        if name not in schedules:
            raise SpecError(f"{where}: field schedule: no schedule is called {name!r}; {nearest(name, schedules)}")
        return _entry(Run, {k: v for k, v in fields.items() if k != "schedule"}, where, {"schedule": schedules[name]})
    return _entry(Run, fields, where, {})


def _entry(kind: type, fields: Any, where: str, given: Mapping[str, Any]) -> Any:
    """One dataclass from a TOML table, every field checked against its annotation."""
    if not isinstance(fields, dict):
        raise SpecError(f"{where}: {fields!r} must be a table of fields")
    hints = get_type_hints(kind)
    valid = [f.name for f in dataclasses.fields(kind) if f.name not in given]
    for name in fields:
        if name not in valid:
            raise SpecError(f"{where}: unknown field {name!r}: {nearest(name, valid)}")
    values = {name: _value(hints[name], value, f"{where}: field {name}") for name, value in fields.items()}
    for field in dataclasses.fields(kind):
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and field.name not in values and field.name not in given:
            raise SpecError(f"{where}: field {field.name} is missing")
    return kind(**given, **values)


def _value(hint: Any, value: Any, where: str) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _union(hint, value, where)
    if origin is Literal:
        if value not in get_args(hint):
            raise SpecError(f"{where}: {value!r} is not one of {', '.join(map(str, get_args(hint)))}")
        return value
    if origin is tuple:
        inner = get_args(hint)
        if not isinstance(value, list):
            raise SpecError(f"{where}: {value!r} must be a list")
        if Ellipsis not in inner and len(value) != len(inner):
            raise SpecError(f"{where}: {value!r} must have {len(inner)} values")
        return tuple(
            _value(inner[0 if Ellipsis in inner else i], item, f"{where}[{i}]") for i, item in enumerate(value)
        )
    if dataclasses.is_dataclass(hint):
        return _entry(hint, value, where, {})  # type: ignore[arg-type]
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise SpecError(f"{where}: {value!r} must be of type {hint.__name__}")
    return value


def _union(hint: Any, value: Any, where: str) -> Any:
    """The member of a union that fits; for two dataclasses, the one whose fields are used."""
    members = [member for member in get_args(hint) if member is not type(None)]
    if isinstance(value, dict):
        tables = [member for member in members if dataclasses.is_dataclass(member)]
        best = max(tables, key=lambda m: len({f.name for f in dataclasses.fields(m)} & value.keys()), default=None)
        if best is not None:
            return _value(best, value, where)
    for member in members:
        if type(value) is member or (member is float and type(value) is int):
            return _value(member, value, where)
    return _value(members[0], value, where)
