"""Scores of a study that nobody trained, along a known curve; see `finished_study.py`.

In domain a dip at the third kept step, elsewhere a slow rise; data that think little or not at all teach little;
more passes teach more; the third training seed does a little worse than the other two.
"""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rsft_assets.specs.benchmarks import Benchmark
from rsft_assets.specs.fingerprint import fingerprint
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.study import Study
from rsft_assets.specs.training import Run
from rsft_assets.steps.records.columns import arrow_schema
from rsft_assets.steps.records.digest import combined_digest, file_digest
from rsft_assets.steps.records.manifest import FileRecord, InputRecord, Manifest, write_manifest
from rsft_assets.steps.records.store import Build, Store
from rsft_assets_tests.finished_outputs import id_of, read, rng_of, write

DIP = 2
"""Index of the kept step at which in-domain scores fall."""
WORSE_SEED, WORSE_BY = 3, 0.06
ONE_PASS_COSTS = 0.12


def success_rate(group: str, thinking: bool, index: int) -> float:
    """What a fixture's checkpoint solves: `index` is the place of its step in the run, 0 the base."""
    if group == "in-domain":
        after = 0.15 if index == DIP else 0.45 + 0.08 * index
        return 0.4 if index == 0 else min(0.95, after if thinking else 0.5)
    if group == "safety":
        return 0.1 + (0.1 if thinking else 0.01) * index
    return min(0.9, 0.2 + (0.07 if thinking else 0.01) * index)


def _rate(study: Study, run: Run, group: str, index: int) -> float:
    rate = success_rate(group, study.datasets[run.dataset].thinking, index)
    if index == 0:
        return rate
    if group != "safety":
        rate -= ONE_PASS_COSTS if run.schedule.epochs == 1 else 0.0
    return rate - (WORSE_BY if run.seed == WORSE_SEED else 0.0)


def scores(study: Study, store: Store, build: Build, ref: Ref, completions: bool = True) -> dict[str, Any]:
    run, benchmark = study.runs[ref.run], study.benchmarks[ref.benchmark]
    index = study.steps_of(run).index(ref.step)
    rate = _rate(study, run, benchmark.group, index)
    # Step 0 is the same model in every run, so its answers are the same.
    who = run.model if ref.step == 0 else f"{run.name} {ref.step}"
    texts, graded = [], []
    for item in read(build, f"benchmarks/{ref.benchmark}", "items"):
        hardness = rng_of("hardness", item["item_id"]).random()
        for sample in range(benchmark.sampling.n):
            rng = rng_of(who, item["item_id"], sample)
            solved = hardness * 0.7 + rng.random() * 0.3 < rate
            text = _completion(who, item, sample, index, rng)
            texts.append(text)
            graded += _grades(item, text, benchmark, solved, rng)
    write(build, "graded", graded)
    rows = list(_summaries(graded))
    write(build, "scores", rows)
    stats = _headline(rows, benchmark)
    return {**stats, "completions": _store_completions(store, build, ref, texts)} if completions else stats


def _headline(rows: list[dict[str, Any]], benchmark: Benchmark) -> dict[str, Any]:
    wanted = ("strict", benchmark.metrics[0], "all")
    (row,) = (row for row in rows if (row["grader"], row["metric"], row["category"]) == wanted)
    return {
        name: row[name] for name in ("state", "reason", "value", "low", "high", "samples", "undecided", "truncated")
    }


def _completion(who: str, item: dict[str, Any], sample: int, index: int, rng: np.random.Generator) -> dict[str, Any]:
    """Short answers of the base, long ones right after it, and shorter again as training goes on."""
    length = int(rng.integers(5, 25)) if index == 0 else int(rng.integers(30, 160))
    cut = length > 150
    return {
        "item_id": item["item_id"],
        "sample": sample,
        "seed": sample,
        "prompt_sha256": id_of(item["question"]),
        "text": f"answer of {who} to {item['question']}",
        "prompt_tokens": 5,
        "response_tokens": length if cut else max(5, length - 10 * max(0, index - 1)),
        "finish_reason": "length" if cut else "stop",
        "think_closed": (not cut) if index else None,
        "ended_by_eos": not cut,
        "repetition_loop": cut and rng.random() < 0.5,
    }


def _grades(
    item: dict[str, Any], text: dict[str, Any], benchmark: Benchmark, solved: bool, rng: np.random.Generator
) -> Iterator[dict[str, Any]]:
    cut = text["finish_reason"] == "length"
    for grader in ("strict", "authors"):
        for metric in benchmark.metrics:
            undecided = grader == "strict" and rng.random() < 0.005
            yield {
                "item_id": item["item_id"],
                "sample": text["sample"],
                "grader": grader,
                "metric": metric,
                "state": "undecided" if undecided else "scored",
                "value": None if undecided else float(solved and (grader == "authors" or not cut)),
                "extracted": "7",
                "reason": "compared",
                "category": item["category"],
                "response_tokens": text["response_tokens"],
                "truncated": cut,
                "weight": 1.0,
            }


def _summaries(graded: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in graded:
        for category in ("all", row["category"]):
            groups.setdefault((row["grader"], row["metric"], category), []).append(row)
    for (grader, metric, category), rows in sorted(groups.items()):
        by_item: dict[str, list[float]] = {}
        for row in rows:
            if row["state"] == "scored":
                by_item.setdefault(row["item_id"], []).append(row["value"])
        means = np.array([np.mean(values) for values in by_item.values()])
        half = 1.96 * means.std(ddof=1) / np.sqrt(len(means))
        tokens = np.array([row["response_tokens"] for row in rows])
        yield {
            "grader": grader,
            "metric": metric,
            "category": category,
            "state": "scored",
            "value": float(means.mean()),
            "low": float(means.mean() - half),
            "high": float(means.mean() + half),
            "items": len(means),
            "samples": len(rows),
            "undecided": sum(row["state"] == "undecided" for row in rows),
            "not_run": 0,
            "truncated": sum(row["truncated"] for row in rows),
            "pass_at_k": float(np.mean([max(values) > 0 for values in by_item.values()])),
            "mean_tokens": float(tokens.mean()),
            "median_tokens": float(np.median(tokens)),
            "p90_tokens": float(np.quantile(tokens, 0.9)),
            "reason": "",
        }


def _store_completions(store: Store, build: Build, ref: Ref, texts: list[dict[str, Any]]) -> dict[str, str]:
    """As `steps/scores/completions.py` lays them out: addressed by what was asked of which weights."""
    inputs = list(build.identity.inputs)
    identity = {"inputs": [[i.asset.split("/")[0], i.digest] for i in inputs]}
    folder = store.home / "completions" / ref.benchmark / fingerprint(identity)[:12]
    path = folder / "completions.parquet"
    if not folder.exists():
        folder.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(texts, schema=arrow_schema("completions")), path)
        digest, rows = file_digest(path)
        write_manifest(
            folder,
            Manifest(
                asset=f"completions/{ref.benchmark}",
                partition="",
                fingerprint=fingerprint(identity),
                spec=identity,
                inputs=[InputRecord(i.asset, i.partition, i.digest, i.output) for i in inputs],
                digest=combined_digest({path.name: digest}),
                files=[FileRecord(path.name, path.stat().st_size, digest, rows)],
            ),
        )
    digest = json.loads((folder / "manifest.json").read_text())["digest"]
    return {"folder": folder.relative_to(store.home).as_posix(), "digest": digest}
