"""A small study of one's own for tests of the data steps, and mirrors in the hub's own layout."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rsft_assets.specs import nano
from rsft_assets.specs.benchmarks import Benchmark
from rsft_assets.specs.datasets import Dataset
from rsft_assets.specs.hub import Generator, Hub
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.queries import QuerySource
from rsft_assets.specs.responses import Pool, Sampling, Teacher
from rsft_assets.specs.study import Study, combine
from rsft_assets.steps.records.store import Output, Store

SOURCE = replace(nano.SOURCES[0], name="sums", origin=Generator(name="sums", seed=3, count=60))
TEACHER = Teacher(
    name="procedural", origin=Generator(name="worked-steps", seed=4, count=1, options=(("error_rate", 0.3),))
)


def pool(shards: int = 2, n: int = 3) -> Pool:
    return Pool(name="pool", source="sums", teacher=TEACHER, sampling=Sampling(n=n, seed=5), shards=shards)


COT = Dataset(name="cot", recipe="one-correct", rows=40, pool="pool", seed=1)
NOCOT = Dataset(name="nocot", recipe="without-thinking", rows=40, like="cot", thinking=False)
FEW = Dataset(name="few", recipe="first-rows", rows=10, like="cot")
ANY = Dataset(name="any", recipe="one-any", rows=40, pool="pool", seed=1)
SUMS_TEST = replace(
    nano.BENCHMARKS[0],
    name="sums-test",
    items=20,
    origin=Generator(name="sums", seed=9, count=20, options=nano.HELD_OUT),
)


def study(**tables: Any) -> Study:
    """The small study, whole tables replaced by name."""
    usual: dict[str, Any] = {
        "sources": (SOURCE,),
        "pools": (pool(),),
        "datasets": (COT, NOCOT, FEW, ANY),
        "benchmarks": (SUMS_TEST,),
    }
    return combine([("nano", {**usual, **tables})])


def source(repo: str, kind: Any = "math", **fields: Any) -> QuerySource:
    return QuerySource(name="real", kind=kind, origin=Hub(repo=repo, kind="dataset"), **fields)


def benchmark(repo: str, task: str, items: int | None, **hub: Any) -> Benchmark:
    origin = Hub(repo=repo, kind="dataset", **hub)
    return Benchmark(name="real", title="", group="general", origin=origin, task=task, items=items, sampling=Sampling())


def make_all(small: Study, store: Store, *datasets: str) -> dict[str, Output]:
    """Run every data step of the small study through its function."""
    from rsft_assets.steps.benchmarks.lock import lock_benchmark
    from rsft_assets.steps.datasets.build import build_dataset
    from rsft_assets.steps.queries.fetch import fetch_queries
    from rsft_assets.steps.responses.generate import generate
    from rsft_assets.steps.verdicts.verify import verify

    for name in small.sources:
        fetch_queries(small, store, Ref(f"queries/{name}"))
    for name in small.benchmarks:
        lock_benchmark(small, store, Ref(f"benchmarks/{name}"))
    for name, one in small.pools.items():
        generate(small, store, [Ref(f"responses/{name}", key) for key in one.shard_keys])
        verify(small, store, [Ref(f"verdicts/{name}", key) for key in one.shard_keys])
    return {name: build_dataset(small, store, Ref(f"datasets/{name}")) for name in datasets or small.datasets}


def rows_of(output: Output, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(output.file(name)).to_pylist()
    return rows


def mirror_parquet(mirror: Path, repo: str, file: str, rows: list[dict[str, Any]]) -> Path:
    """A Parquet file where the hub would have it."""
    path = mirror / repo / file
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def mirror_json_lines(mirror: Path, repo: str, file: str, rows: list[dict[str, Any]]) -> Path:
    """A JSON-lines file where the hub would have it."""
    path = mirror / repo / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
