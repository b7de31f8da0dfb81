"""A finished study without any training: plausible records of every stage, made with the records' own API.

    study, store = tiny_study(), Store(tmp_path)
    finish(study, store)

Scores follow a known curve (a dip at the third kept step in domain, a slow rise elsewhere), so that tests
know what the tables must say. Everything is seeded.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rsft_assets.specs import paper
from rsft_assets.specs.benchmarks import Benchmark
from rsft_assets.specs.datasets import Dataset
from rsft_assets.specs.hub import Generator
from rsft_assets.specs.lineage import TABLE_OF, Ref, asset_keys, partitions_of
from rsft_assets.specs.models import Model, Pretraining
from rsft_assets.specs.queries import QuerySource
from rsft_assets.specs.responses import Pool, Sampling, Teacher
from rsft_assets.specs.study import Study, combine, tables_of
from rsft_assets.specs.training import Run, Schedule
from rsft_assets.steps.records.store import Store
from rsft_assets_tests.finished_outputs import MAKERS
from rsft_assets_tests.finished_scores import scores
from rsft_assets_tests.made_once import made_once

_MAKERS = {**MAKERS, "scores": scores}


def tiny_study() -> Study:
    """The paper's study, declared only, and a small one of every kind of thing beside it."""
    sampling = Sampling(n=2, max_tokens=160)
    schedule = Schedule(lr=1e-3, epochs=4, batch_size=16, precision="fp32", grid=(5, 10, 20, 40))
    shape = {"layers": 1, "hidden": 8, "heads": 2, "mixture": "nano-skills", "steps": 1, "batch_tokens": 8, "lr": 1e-3}
    models = [
        Model(
            name=f"tiny-{size}m",
            family="qwen3",
            parameters=size * 1_000_000,
            origin=Pretraining(**shape, context=64, seed=1),
            needs_gpu=False,
        )
        for size in (1, 3)
    ]
    runs = [Run(model="tiny-1m", dataset=name, schedule=schedule) for name in ("tiny-cot", "tiny-nocot")]
    runs += [Run(model="tiny-3m", dataset="tiny-cot", schedule=schedule)]
    runs += [Run(model="tiny-1m", dataset="tiny-cot", schedule=schedule, seed=2)]
    runs += [Run(model="tiny-1m", dataset="tiny-few", schedule=replace(schedule, epochs=40))]
    tables = {
        "models": models,
        "sources": [QuerySource(name="tiny-sums", kind="math", origin=Generator(name="sums", seed=1, count=200))],
        "pools": [
            Pool(
                name="tiny-sums_n4",
                source="tiny-sums",
                teacher=Teacher(name="procedure", origin=Generator(name="worked", seed=1, count=4)),
                sampling=replace(sampling, n=4),
                shards=2,
            )
        ],
        "datasets": [
            Dataset(name="tiny-cot", recipe="one-correct", rows=160, pool="tiny-sums_n4"),
            Dataset(name="tiny-nocot", recipe="without-thinking", rows=160, like="tiny-cot", thinking=False),
            Dataset(name="tiny-few", recipe="first-rows", rows=20, like="tiny-cot"),
        ],
        "runs": runs,
        "benchmarks": [
            Benchmark(
                name=f"tiny-{name}",
                title=f"Tiny {name}",
                group=group,
                origin=Generator(name=name, seed=2, count=60),
                task="hex_phi" if group == "safety" else "math",
                items=60,
                sampling=sampling,
                sensitive=group == "safety",
                metrics=("attack_success",) if group == "safety" else ("accuracy",),
            )
            for name, group in (("sums", "in-domain"), ("dot", "ood-reasoning"), ("harm", "safety"))
        ],
    }
    return combine([("paper", tables_of(paper)), ("tiny", tables)])


def finish(study: Study, store: Store, member_of: str = "tiny", *, stages: Iterable[str] = ()) -> None:
    """Make every output of one study, upstream first; `stages` limits which."""
    for key in asset_keys(study):
        ref = Ref(key)
        member = study.member_of[(TABLE_OF[ref.stage], ref.name)]
        if member != member_of or ref.stage not in _MAKERS or (stages and ref.stage not in stages):
            continue
        for partition in partitions_of(study, key) or ("",):
            make(study, store, Ref(key, partition))


def finished_home(factory: pytest.TempPathFactory) -> Path:
    """A home with every output of the tiny study, one for all tests; to be read only."""
    return made_once(factory, "outputs", lambda folder: finish(tiny_study(), Store(folder)))


def make(study: Study, store: Store, ref: Ref, *, force: bool = False, **how: Any) -> None:
    """Make one output; `how` reaches the function that makes its stage."""
    with store.build(study, ref, force=force, seed=1, engine="fixture") as build:
        if build.finished is None:
            build.publish(stats=_MAKERS[ref.stage](study, store, build, ref, **how))
