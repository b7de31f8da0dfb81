"""Synthetic records in the shape and number of the paper's study, for the rehearsal of results and traces.

35 runs at all their kept steps, ten benchmarks with all items and samples, both graders; 44,000 queries with 32
responses and verdicts each in 64 shards. Made with numpy, a whole file at a time; texts are a few bytes.
"""

import hashlib
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rsft_assets.specs.lineage import Ref, checkpoint_ref, score_ref
from rsft_assets.specs.study import Study
from rsft_assets.steps.records.columns import arrow_schema
from rsft_assets.steps.records.digest import combined_digest, file_digest
from rsft_assets.steps.records.manifest import FileRecord, Manifest, write_manifest
from rsft_assets.steps.records.store import Build, Store

HALUEVAL_ITEMS = 6_000
POOL = "openr1-math_qwen3-32b_n32"
SOURCE = "openr1-math-220k"
QUERIES, SAMPLES = 44_000, 32


def ids(name: str, count: int) -> pa.Array:
    """Sixteen hexadecimal digits each, as the records have them."""
    return pa.array([hashlib.sha256(f"{name} {i}".encode()).hexdigest()[:16] for i in range(count)])


def write(folder: Path, kind: str, columns: dict[str, object]) -> None:
    schema = arrow_schema(kind)
    rows = max(len(v) for v in columns.values() if not isinstance(v, (str, int, float, type(None))))  # type: ignore[arg-type]
    arrays = []
    for column in schema:
        value = columns.get(column.name)
        if isinstance(value, (pa.Array, pa.ChunkedArray, np.ndarray, list)):
            arrays.append(pa.array(value, column.type) if not isinstance(value, pa.Array) else value.cast(column.type))
        else:
            arrays.append(pa.repeat(pa.scalar(value, column.type), rows))
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), folder / f"{kind}.parquet", compression="zstd")


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
        benchmark, items = self.study.benchmarks[name], self.items[name]
        count, samples = len(items), benchmark.sampling.n
        who = f"{run.model} 0 {name}" if step == 0 else f"{run.name} {step} {name}"
        rng = np.random.default_rng(zlib.crc32(who.encode()))
        item_ids, sample = (
            items.take(pa.array(np.repeat(np.arange(count), samples))),
            np.tile(np.arange(samples), count),
        )
        tokens = rng.integers(200, 32_768, len(sample))
        hard = np.random.default_rng(zlib.crc32(name.encode())).random(count)
        rate = 0.3 + 0.4 * min(1.0, step / 640) - (0.2 if step == 40 else 0.0)
        solved = (np.repeat(hard, samples) * 0.7 + rng.random(len(sample)) * 0.3 < rate).astype(float)
        kinds = [(grader, metric) for grader in ("strict", "authors") for metric in benchmark.metrics]
        n = len(kinds)
        write(
            build.folder,
            "graded",
            {
                "item_id": pa.concat_arrays([item_ids] * n),
                "sample": np.tile(sample, n),
                "grader": pa.array(np.repeat([g for g, _ in kinds], len(sample))),
                "metric": pa.array(np.repeat([m for _, m in kinds], len(sample))),
                "state": "scored",
                "value": np.tile(solved, n),
                "extracted": None if benchmark.sensitive else "1",
                "reason": "compared",
                "category": "all of it",
                "response_tokens": np.tile(tokens, n),
                "truncated": np.tile(tokens > 32_000, n),
                "weight": 1.0,
            },
        )
        means = solved.reshape(count, samples).mean(axis=1)
        half = 1.96 * means.std(ddof=1) / np.sqrt(count)
        write(
            build.folder,
            "scores",
            {
                "grader": pa.array([g for g, _ in kinds]),
                "metric": pa.array([m for _, m in kinds]),
                "category": "all",
                "state": "scored",
                "value": np.full(n, means.mean()),
                "low": np.full(n, means.mean() - half),
                "high": np.full(n, means.mean() + half),
                "items": np.full(n, count),
                "samples": np.full(n, len(sample)),
                "undecided": np.zeros(n, int),
                "not_run": np.zeros(n, int),
                "truncated": np.full(n, int((tokens > 32_000).sum())),
                "pass_at_k": np.full(n, 0.5),
                "mean_tokens": np.full(n, tokens.mean()),
                "reason": "",
            },
        )
        return {"completions": self._completions(build, name, item_ids, sample, tokens)}

    def _completions(
        self, build: Build, name: str, item_ids: pa.Array, sample: np.ndarray, tokens: np.ndarray
    ) -> dict[str, str]:
        key = hashlib.sha256(
            repr([[i.asset.split("/")[0], i.digest] for i in build.identity.inputs]).encode()
        ).hexdigest()
        folder = self.store.home / "completions" / name / key[:12]
        place = folder.relative_to(self.store.home).as_posix()
        path = folder / "completions.parquet"
        if not folder.exists():
            folder.mkdir(parents=True)
            cut = tokens > 32_000
            write(
                folder,
                "completions",
                {
                    "item_id": item_ids,
                    "sample": sample,
                    "seed": sample,
                    "prompt_sha256": "0" * 64,
                    "text": "<think></think>1",
                    "prompt_tokens": np.full(len(sample), 100),
                    "response_tokens": tokens,
                    "finish_reason": pa.array(np.where(cut, "length", "stop")),
                    "think_closed": ~cut,
                    "ended_by_eos": ~cut,
                    "repetition_loop": cut & (tokens % 2 == 0),
                },
            )
            digest, rows = file_digest(path)
            record = FileRecord(path.name, path.stat().st_size, digest, rows)
            write_manifest(
                folder,
                Manifest(
                    asset=f"completions/{name}",
                    partition="",
                    fingerprint=key,
                    spec={},
                    inputs=list(build.identity.inputs),
                    digest=combined_digest({path.name: digest}),
                    files=[record],
                ),
            )
        digest, _ = file_digest(path)
        return {"folder": place, "digest": combined_digest({path.name: digest})}
