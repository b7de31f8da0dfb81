"""The declared study as tables: `declared.*`, so that a new spec entry is in the SQL without another edit."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from operator import attrgetter
from typing import Any

from duckdb import DuckDBPyConnection

from rsft_assets.specs.datasets import Dataset
from rsft_assets.specs.hub import Hub
from rsft_assets.specs.in_domain import group_for
from rsft_assets.specs.models import MIXTURES, Model, Pretraining
from rsft_assets.specs.responses import Pool
from rsft_assets.specs.study import Study
from rsft_assets.specs.titles import run_title, titles_of
from rsft_assets.steps.results.publishing import insert
from rsft_assets.steps.scores.grading.tasks import task, task_of

_TEXT, _INT, _REAL, _BOOL = "VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN"

COLUMNS: dict[str, dict[str, str]] = {
    "models": {
        **{"study": _TEXT, "model": _TEXT, "family": _TEXT, "parameters": _INT, "repo": _TEXT, "revision": _TEXT},
        **{"mixture": _TEXT, "thinking_read": _REAL, "needs_gpu": _BOOL, "description": _TEXT},
    },
    "sources": {"study": _TEXT, "source": _TEXT, "kind": _TEXT, "description": _TEXT},
    "pools": {
        **{"study": _TEXT, "pool": _TEXT, "source": _TEXT, "teacher": _TEXT, "samples": _INT, "max_tokens": _INT},
        **{"shards": _INT, "is_adopted": _BOOL, "description": _TEXT},
    },
    "datasets": {
        **{"study": _TEXT, "dataset": _TEXT, "dataset_title": _TEXT, "recipe": _TEXT, "rows": _INT, "pool": _TEXT},
        **{"based_on": _TEXT, "source": _TEXT, "thinking": _BOOL, "description": _TEXT},
    },
    "schedules": {
        **{"study": _TEXT, "schedule": _TEXT, "schedule_title": _TEXT, "lr": _REAL, "epochs": _REAL},
        **{"batch_size": _INT, "decay": _TEXT, "precision": _TEXT, "loss": _TEXT, "data_order": _TEXT},
    },
    "runs": {
        **{"study": _TEXT, "run": _TEXT, "run_title": _TEXT, "model": _TEXT, "dataset": _TEXT, "schedule": _TEXT},
        **{"seed": _INT, "lr": _REAL, "epochs": _REAL, "batch_size": _INT, "decay": _TEXT, "rows": _INT},
        **{"total_steps": _INT, "max_length": _INT, "precision": _TEXT, "arm": _TEXT, "recipe": _TEXT},
        "description": _TEXT,
    },
    "run_steps": {
        **{"study": _TEXT, "run": _TEXT, "model": _TEXT, "step": _INT, "is_last": _BOOL, "epoch": _REAL},
        "partition": _TEXT,
    },
    "benchmarks": {
        **{"study": _TEXT, "benchmark": _TEXT, "title": _TEXT, "benchmark_group": _TEXT, "position": _INT},
        **{"task": _TEXT, "items": _INT, "samples": _INT, "max_tokens": _INT, "headline_metric": _TEXT},
        **{"needs": _TEXT, "sensitive": _BOOL, "description": _TEXT},
    },
    "run_groups": {"study": _TEXT, "run": _TEXT, "benchmark": _TEXT, "run_group": _TEXT},
    "metrics": {
        **{"study": _TEXT, "benchmark": _TEXT, "metric": _TEXT, "is_headline": _BOOL, "unit": _TEXT},
        **{"lower_is_better": _BOOL, "is_voted": _BOOL},
    },
}


def write_declared(db: DuckDBPyConnection, study: Study, digests: dict[str, str]) -> dict[str, str]:
    """Write `declared.*` where its content has changed; the digest of each table."""
    db.execute("CREATE SCHEMA IF NOT EXISTS declared")
    fresh = {}
    for table, columns in COLUMNS.items():
        rows = [dict(zip(columns, row, strict=True)) for row in _ROWS[table](study)]
        name = f"declared.{table}"
        fresh[name] = hashlib.sha256(json.dumps([columns, rows]).encode()).hexdigest()
        if digests.get(name) == fresh[name]:
            continue
        shape = ", ".join(f"{column} {type_}" for column, type_ in columns.items())
        db.execute(f"CREATE OR REPLACE TABLE {name} ({shape})")
        insert(db, name, rows)
    return fresh


def _of_each(kind: str, values: Callable[[Any], tuple[Any, ...]]) -> Callable[[Study], list[tuple[Any, ...]]]:
    """A row for each entry of a kind: its study, its name, and these values."""

    def rows(study: Study) -> list[tuple[Any, ...]]:
        entries = getattr(study, kind).values()
        return [(study.member_of[kind, entry.name], entry.name, *values(entry)) for entry in entries]

    return rows


def _model(m: Model) -> tuple[Any, ...]:
    repo, revision = (m.origin.repo, m.origin.revision) if isinstance(m.origin, Hub) else (None, None)
    mixture = m.origin.mixture if isinstance(m.origin, Pretraining) else None
    share = None if mixture is None else MIXTURES[mixture] / (1 + MIXTURES[mixture])
    return m.family, m.parameters, repo, revision, mixture, share, m.runs_on_gpu, m.description


def _pool(p: Pool) -> tuple[Any, ...]:
    sampling = p.sampling
    return p.source, p.teacher.name, sampling.n, sampling.max_tokens, p.shards, p.adopted is not None, p.description


def _titles(study: Study) -> dict[str, dict[str, str]]:
    return {member: titles_of(study, member) for member in set(study.member_of.values())}


def _schedules(study: Study) -> list[tuple[Any, ...]]:
    titles = _titles(study)
    seen = {}
    for run in study.runs.values():
        s, owner = run.schedule, study.member_of[("runs", run.name)]
        named = (owner, s.name, titles[owner][s.name])
        seen[owner, s.name] = (*named, s.lr, s.epochs, s.batch_size, s.decay, s.precision, s.loss, s.order)
    return list(seen.values())


def _dataset(d: Dataset) -> tuple[Any, ...]:
    return d.title or d.name, d.recipe, d.rows, d.pool, d.like, d.source, d.thinking, d.description


def _runs(study: Study) -> list[tuple[Any, ...]]:
    rows, titles = [], _titles(study)
    for r in study.runs.values():
        owner = study.member_of[("runs", r.name)]
        s, size = r.schedule, study.datasets[r.dataset].rows
        arm = f"{r.model}_{r.dataset}_{s.name}"
        # The arm in whatever precision.
        recipe = f"{r.model}_{r.dataset}_{replace(s, precision='bf16').name}"
        rows.append(
            (
                *(owner, r.name, run_title(titles[owner], r), r.model, r.dataset, s.name),
                *(r.seed, s.lr, s.epochs, s.batch_size, s.decay, size, s.total_steps(size), r.max_length),
                *(s.precision, arm, recipe, r.description),
            )
        )
    return rows


def _run_steps(study: Study) -> list[tuple[Any, ...]]:
    rows = []
    for r in study.runs.values():
        steps = study.steps_of(r)
        an_epoch = study.datasets[r.dataset].rows // r.schedule.batch_size
        owner = study.member_of[("runs", r.name)]
        rows += [(owner, r.name, r.model, n, n == steps[-1], n / an_epoch, f"{r.name}|{n}") for n in steps]
    return rows


def _benchmarks(study: Study) -> list[tuple[Any, ...]]:
    return [
        (
            *(study.member_of[("benchmarks", b.name)], b.name, b.title, b.group, position, b.task, b.items),
            *(b.sampling.n, b.sampling.max_tokens, task_of(b).headline.name),
            *(", ".join(b.needs), b.sensitive, b.description),
        )
        for position, b in enumerate(study.benchmarks.values())
    ]


def _run_groups(study: Study) -> list[tuple[Any, ...]]:
    return [
        (study.member_of[("runs", run.name)], run.name, b.name, group_for(study, run, b, task(b.task).asks))
        for run in study.runs.values()
        for b in study.benchmarks_of(run.model)
    ]


def _metrics(study: Study) -> list[tuple[Any, ...]]:
    return [
        (study.member_of[("benchmarks", b.name)], b.name, m.name, m.headline, m.unit, m.lower_is_better, m.voted)
        for b in study.benchmarks.values()
        for m in task(b.task).metrics
    ]


_ROWS: dict[str, Callable[[Study], list[tuple[Any, ...]]]] = {
    "models": _of_each("models", _model),
    "sources": _of_each("sources", attrgetter("kind", "description")),
    "pools": _of_each("pools", _pool),
    "datasets": _of_each("datasets", _dataset),
    "schedules": _schedules,
    "runs": _runs,
    "run_steps": _run_steps,
    "benchmarks": _benchmarks,
    "run_groups": _run_groups,
    "metrics": _metrics,
}
