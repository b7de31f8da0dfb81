"""A study with tiny random models as checkpoints, for what stands downstream of training."""

import json
from pathlib import Path

from rsft_assets.specs.benchmarks import Benchmark
from rsft_assets.specs.datasets import Dataset
from rsft_assets.specs.hub import Generator
from rsft_assets.specs.lineage import Ref, inputs_of
from rsft_assets.specs.models import Model, Pretraining
from rsft_assets.specs.queries import QuerySource
from rsft_assets.specs.responses import Pool, Sampling, Teacher
from rsft_assets.specs.study import Study, combine
from rsft_assets.specs.training import Run, Schedule
from rsft_assets.steps.records.rows import RowWriter
from rsft_assets.steps.records.store import Store
from rsft_assets_tests.stand_ins import stand_in
from rsft_assets_tests.steps.engines.tiny_model import make_tiny_model

SAMPLING = Sampling(n=2, temperature=1.0, top_p=0.95, max_tokens=24, seed=3)
ORIGIN = Generator(name="sums", seed=1, count=8)


def benchmark(name: str, task: str = "math", **changes) -> Benchmark:
    fields = {
        "title": name,
        "group": "general",
        "origin": ORIGIN,
        "items": None,
        "sampling": SAMPLING,
        "name": name,
        "task": task,
    }
    return Benchmark(**{**fields, **changes})


def small_study(*benchmarks: Benchmark) -> Study:
    """One model, two runs of two epochs that keep steps 0, 1 and 2."""
    pretraining = Pretraining(
        layers=1, hidden=8, heads=2, mixture="nano-skills", steps=1, batch_tokens=8, lr=1e-3, context=64, seed=1
    )
    tables = {
        "models": [Model(name="tiny", family="qwen3", parameters=9, origin=pretraining, needs_gpu=False)],
        "sources": [QuerySource(name="q", kind="math", origin=ORIGIN, instruction="")],
        "pools": [Pool(name="p", source="q", teacher=Teacher(name="t", origin=ORIGIN), sampling=SAMPLING)],
        "datasets": [Dataset(name=name, recipe="one-correct", rows=4, pool="p") for name in ("a", "b")],
        "runs": [
            Run(model="tiny", dataset=name, schedule=Schedule(lr=1e-3, epochs=2, batch_size=4, grid=(1,)))
            for name in ("a", "b")
        ],
        "benchmarks": list(benchmarks),
    }
    return combine([("nano", tables)])


def publish_upstream(study: Study, store: Store, ref: Ref, items: dict[str, list[dict]]) -> None:
    """Make everything that `ref` is made from: real tiny models and items, stand-ins elsewhere."""
    for upstream in inputs_of(study, ref):
        if store.current(upstream) is None:
            publish_upstream(study, store, upstream, items)
            with store.build(study, upstream) as build:
                build.publish(stats=_fill(build.folder, upstream, items))


def _fill(folder: Path, ref: Ref, items: dict[str, list[dict]]) -> dict:
    if ref.stage == "checkpoints":
        # Step 0 of every run is one base model, as it is where training is real.
        seed = 0 if ref.step == 0 else 10 * ref.step + sum(map(ord, ref.run))
        make_tiny_model(folder, seed=seed)
        return {}
    if ref.stage != "benchmarks":
        stand_in(folder, ref)
        return {}
    rows = items[ref.name]
    with RowWriter(folder / "items.parquet", "items") as writer:
        for position, row in enumerate(rows):
            fields = json.dumps(row.get("fields", {}))
            defaults = {"item_id": f"i{position}", "position": position, "gold": None, "category": None}
            writer.add({**defaults, **row, "fields": fields})
    return {"access": "open", "items": len(rows)} if rows else {"access": "none", "reason": "gated: ask for access"}


SUMS = [{"question": f"What is {n}+{n}?", "gold": str(2 * n), "category": "even" if n % 2 else "odd"} for n in range(8)]
