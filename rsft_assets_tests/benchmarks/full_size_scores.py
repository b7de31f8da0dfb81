"""Synthetic scores and answers at the paper's size: all items, all samples, both graders, every metric."""

import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa

from rsft_assets.specs.benchmarks import Benchmark
from rsft_assets.specs.fingerprint import fingerprint
from rsft_assets.steps.records.digest import combined_digest, file_digest
from rsft_assets.steps.records.manifest import FileRecord, Manifest, write_manifest
from rsft_assets.steps.records.store import Build
from rsft_assets_tests.benchmarks.synthetic_files import write


def write_score(
    build: Build, home: Path, benchmark: Benchmark, items: pa.Array, who: str, step: int
) -> dict[str, object]:
    """graded.parquet, scores.parquet and the completions behind them; the score's stats."""
    count, samples = len(items), benchmark.sampling.n
    rng = np.random.default_rng(zlib.crc32(who.encode()))
    item_ids, sample = (
        items.take(pa.array(np.repeat(np.arange(count), samples))),
        np.tile(np.arange(samples), count),
    )
    tokens = rng.integers(200, 32_768, len(sample))
    hard = np.random.default_rng(zlib.crc32(benchmark.name.encode())).random(count)
    rate = 0.3 + 0.4 * min(1.0, step / 640) - (0.2 if step == 40 else 0.0)
    solved = (np.repeat(hard, samples) * 0.7 + rng.random(len(sample)) * 0.3 < rate).astype(float)
    kinds = [(grader, metric) for grader in ("strict", "authors") for metric in benchmark.metrics]
    _graded(build.folder, benchmark, kinds, item_ids, sample, solved, tokens)
    _summary(build.folder, kinds, solved.reshape(count, samples).mean(axis=1), tokens)
    return {"completions": _completions(build, home, benchmark.name, item_ids, sample, tokens)}


def _graded(
    folder: Path,
    benchmark: Benchmark,
    kinds: list[tuple[str, str]],
    item_ids: pa.Array,
    sample: np.ndarray,
    solved: np.ndarray,
    tokens: np.ndarray,
) -> None:
    n = len(kinds)
    write(
        folder,
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


def _summary(folder: Path, kinds: list[tuple[str, str]], means: np.ndarray, tokens: np.ndarray) -> None:
    n = len(kinds)
    half = 1.96 * means.std(ddof=1) / np.sqrt(len(means))
    write(
        folder,
        "scores",
        {
            "grader": pa.array([g for g, _ in kinds]),
            "metric": pa.array([m for _, m in kinds]),
            "category": "all",
            "state": "scored",
            "value": np.full(n, means.mean()),
            "low": np.full(n, means.mean() - half),
            "high": np.full(n, means.mean() + half),
            "items": np.full(n, len(means)),
            "samples": np.full(n, len(tokens)),
            "undecided": np.zeros(n, int),
            "not_run": np.zeros(n, int),
            "truncated": np.full(n, int((tokens > 32_000).sum())),
            "pass_at_k": np.full(n, 0.5),
            "mean_tokens": np.full(n, tokens.mean()),
            "reason": "",
        },
    )


def _completions(
    build: Build, home: Path, name: str, item_ids: pa.Array, sample: np.ndarray, tokens: np.ndarray
) -> dict[str, str]:
    identity = {"inputs": [[i.asset.split("/")[0], i.digest] for i in build.identity.inputs]}
    key = fingerprint(identity)
    folder = home / "completions" / name / key[:12]
    place = folder.relative_to(home).as_posix()
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
                spec=identity,
                inputs=list(build.identity.inputs),
                digest=combined_digest({path.name: digest}),
                files=[record],
            ),
        )
    digest, _ = file_digest(path)
    return {"folder": place, "digest": combined_digest({path.name: digest})}
