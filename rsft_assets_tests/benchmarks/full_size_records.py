"""Synthetic records in the shape and number of the paper's study, for the rehearsal of results and traces.

35 runs at all their kept steps, ten benchmarks with all items and samples, both graders; 44,000 queries with 32
responses and verdicts each in 64 shards. Made with numpy, a whole file at a time; texts are a few bytes.
"""

import numpy as np
import pyarrow as pa

from rsft_assets.specs.lineage import Ref, checkpoint_ref, score_ref
from rsft_assets.specs.study import Study
from rsft_assets.steps.records.columns import arrow_schema
from rsft_assets.steps.records.store import Build, Store
from rsft_assets_tests.benchmarks.full_size_scores import write_score
from rsft_assets_tests.benchmarks.synthetic_files import ids, write

HALUEVAL_ITEMS = 6_000
POOL = "openr1-math_qwen3-32b_n32"
SOURCE = "openr1-math-220k"
QUERIES, SAMPLES = 44_000, 32


class FullSize:
    """Writes the records of one study into a store; what is there already is kept."""

    def __init__(self, study: Study, store: Store) -> None:
        self.study, self.store = study, store
        self.query_ids = ids("query", QUERIES)
        self.items = {
            b.name: ids(b.name, b.items or HALUEVAL_ITEMS)
            for b in study.benchmarks.values()
            if study.member_of[("benchmarks", b.name)] == "paper"
        }

    def runs(self) -> list:
        return [run for run in self.study.runs.values() if self.study.member_of[("runs", run.name)] == "paper"]

    def make(self, ref: Ref, fill, **stats: object) -> None:
        with self.store.build(self.study, ref, seed=1, engine="synthetic") as build:
            if build.finished is None:
                build.publish(stats={**(fill(build) or {}), **stats})

    def data(self) -> None:
        pool = self.study.pools[POOL]
        for source in self.study.sources:
            self.make(Ref(f"queries/{source}"), self._queries)
        for name, other in self.study.pools.items():
            if self.study.member_of[("pools", name)] == "paper":
                for shard in other.shard_keys:
                    full = name == POOL
                    self.make(
                        Ref(f"responses/{name}", shard),
                        lambda b, s=shard, f=full: self._responses(b, s, pool.shards, f),
                    )
                    self.make(
                        Ref(f"verdicts/{name}", shard), lambda b, s=shard, f=full: self._verdicts(b, s, pool.shards, f)
                    )
        for name in self.items:
            self.make(Ref(f"benchmarks/{name}"), lambda b, n=name: self._items(b, n))
        for name, dataset in self.study.datasets.items():
            if self.study.member_of[("datasets", name)] == "paper":
                self.make(Ref(f"datasets/{name}"), lambda b, d=dataset: self._examples(b, d.rows))
        for name in self.study.models:
            if self.study.member_of[("models", name)] == "paper":
                self.make(Ref(f"base_models/{name}"), lambda b, n=name: self._weights(b, n))

    def run(self, run, steps=None) -> None:
        """One run's checkpoints and scores."""
        for step in steps or self.study.steps_of(run):
            self.make(checkpoint_ref(run, step), lambda b, s=step: self._checkpoint(b, run, s))
            for benchmark in self.items:
                self.make(score_ref(run, step, benchmark), lambda b, s=step, n=benchmark: self._score(b, run, s, n))

    def _queries(self, build: Build) -> None:
        write(
            build.folder,
            "queries",
            {
                "query_id": self.query_ids,
                "kind": "math",
                "question": "?",
                "prompt": "?",
                "gold": "1",
                "source_row": np.arange(QUERIES),
                "fields": "{}",
            },
        )

    def _shard(self, shard: str, shards: int, full: bool) -> tuple[pa.Array, np.ndarray, pa.Array]:
        mine = np.arange(int(shard), QUERIES if full else 64, shards)
        queries = self.query_ids.take(pa.array(np.repeat(mine, SAMPLES)))
        sample = np.tile(np.arange(SAMPLES), len(mine))
        names = pa.array([f"{q}-{s}" for q, s in zip(queries.to_pylist(), sample, strict=True)])
        return queries, sample, names

    def _responses(self, build: Build, shard: str, shards: int, full: bool) -> None:
        queries, sample, names = self._shard(shard, shards, full)
        rng = np.random.default_rng(int(shard))
        write(
            build.folder,
            "responses",
            {
                "response_id": names,
                "query_id": queries,
                "sample": sample,
                "seed": sample,
                "text": "<think></think>1",
                "prompt_tokens": rng.integers(30, 300, len(sample)),
                "response_tokens": rng.integers(500, 16_384, len(sample)),
                "finish_reason": "stop",
                "engine": "synthetic",
            },
        )

    def _verdicts(self, build: Build, shard: str, shards: int, full: bool) -> None:
        queries, sample, names = self._shard(shard, shards, full)
        rng = np.random.default_rng(int(shard))
        verdict = pa.array(["correct", "wrong", "unparseable", "undecided"]).take(
            pa.array(rng.choice(4, len(sample), p=[0.7, 0.25, 0.04, 0.01]))
        )
        write(
            build.folder,
            "verdicts",
            {
                "response_id": names,
                "query_id": queries,
                "verdict": verdict,
                "extracted": "1",
                "reason": "compared",
                "seconds": rng.random(len(sample)),
            },
        )

    def _items(self, build: Build, name: str) -> None:
        count = len(self.items[name])
        write(
            build.folder,
            "items",
            {
                "item_id": self.items[name],
                "position": np.arange(count),
                "question": "?",
                "gold": "1",
                "category": "all of it",
                "fields": "{}",
            },
        )

    def _examples(self, build: Build, rows: int) -> None:
        queries = self.query_ids.slice(0, rows)
        message = pa.array([[{"role": "user", "content": "?"}]] * rows)
        write(
            build.folder,
            "examples",
            {
                "row": np.arange(rows),
                "query_id": queries,
                "response_id": pa.array([f"{q}-0" for q in queries.to_pylist()]),
                "verdict": "correct",
                "data_source": SOURCE,
                "question": "?",
                "answer": "1",
                "response": "1",
                "message": message.cast(arrow_schema("examples").field("message").type),
                "response_length": np.full(rows, 9_000),
                "advantage": 1.0,
            },
        )

    def _weights(self, build: Build, words: str) -> None:
        (build.folder / "config.json").write_text("{}")
        (build.folder / "model.safetensors").write_bytes(words.encode())

    def _checkpoint(self, build: Build, run, step: int) -> None:
        self._weights(build, f"{run.model} 0" if step == 0 else f"{run.name} {step}")
        if step == 0:
            return
        rows, batch = self.study.datasets[run.dataset].rows, run.schedule.batch_size
        steps = np.arange(1, step + 1)
        write(
            build.folder,
            "curves",
            {
                "step": steps,
                "epoch": steps * batch / rows,
                "loss": 0.5 + np.exp(-steps / 50),
                "grad_norm": 1.0,
                "lr": run.schedule.lr,
                "tokens": np.full(step, batch * 9_000),
                "seconds": np.full(step, 60.0),
            },
        )
        row = np.arange(step * batch) % (rows // batch * batch)
        write(
            build.folder,
            "seen",
            {
                "step": np.repeat(steps, batch),
                "position": np.tile(np.arange(batch), step),
                "row": row,
                "query_id": self.query_ids.take(pa.array(row)),
                "tokens": np.full(len(row), 9_000),
                "cut_tokens": np.zeros(len(row), np.int64),
            },
        )

    def _score(self, build: Build, run, step: int, name: str) -> dict[str, object]:
        who = f"{run.model} 0 {name}" if step == 0 else f"{run.name} {step} {name}"
        return write_score(build, self.store.home, self.study.benchmarks[name], self.items[name], who, step)
