"""A finished study without any training: plausible records of every stage, made with the records' own API.

    study, store = tiny_study(), Store(tmp_path)
    finish(study, store)

Scores follow a known curve (a dip at the third kept step in domain, a slow rise elsewhere), so that tests
know what the tables must say. Everything is seeded.
"""

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

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
from rsft_assets.steps.records.columns import arrow_schema
from rsft_assets.steps.records.digest import combined_digest, file_digest
from rsft_assets.steps.records.manifest import FileRecord, InputRecord, Manifest, write_manifest
from rsft_assets.steps.records.store import Build, Store

DIP = 2
"""Index of the kept step at which in-domain scores fall."""
SLIP = 0.2
"""Share of the teacher's responses that are wrong."""


def tiny_study() -> Study:
    """The paper's study, declared only, and a small one of every kind of thing beside it."""
    sampling = Sampling(n=2, max_tokens=160)
    schedule = Schedule(lr=1e-3, epochs=4, batch_size=16, precision="fp32", grid=(5, 10, 20, 40))
    shape = {"layers": 1, "hidden": 8, "heads": 1, "mixture": "none", "steps": 1, "batch_tokens": 8, "lr": 1e-3}
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
                task="math",
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


def make(study: Study, store: Store, ref: Ref, *, force: bool = False, **how: Any) -> None:
    """Make one output; `how` reaches the function that makes its stage."""
    with store.build(study, ref, force=force, seed=1, engine="fixture") as build:
        if build.finished is None:
            build.publish(stats=_MAKERS[ref.stage](study, store, build, ref, **how))


def write(build: Build, kind: str, rows: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(rows, schema=arrow_schema(kind)), build.folder / f"{kind}.parquet")


def _read(build: Build, asset: str, kind: str, partition: str = "") -> list[dict[str, Any]]:
    return pq.read_table(build.input(asset, partition).file(f"{kind}.parquet")).to_pylist()


def _rng(*words: object) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(repr(words).encode()))


def _id(*words: object) -> str:
    return hashlib.sha256(repr(words).encode()).hexdigest()[:16]


def _queries(study: Study, store: Store, build: Build, ref: Ref) -> dict[str, Any]:
    rows = []
    for i in range(study.sources[ref.name].origin.count):  # type: ignore[union-attr]
        left, right = _rng(ref.name, i).integers(1, 50, 2)
        rows.append(
            {
                "query_id": _id(ref.name, i),
                "kind": "math",
                "question": f"{left} + {right} = ?",
                "prompt": f"{left} + {right} = ?",
                "gold": str(left + right),
                "solution": None,
                "source_row": i,
                "fields": "{}",
            }
        )
    write(build, "queries", rows)
    return {"rows": len(rows)}


def _responses(study: Study, store: Store, build: Build, ref: Ref) -> dict[str, Any]:
    pool = study.pools[ref.name]
    rows = []
    for i, query in enumerate(_read(build, f"queries/{pool.source}", "queries")):
        if i % pool.shards != int(ref.partition):
            continue
        for sample in range(pool.sampling.n):
            rng = _rng(query["query_id"], sample)
            answer = int(query["gold"]) + int(rng.random() < SLIP)
            text = f"<think>{query['question']} let me see</think>\\boxed{{{answer}}}"
            rows.append(
                {
                    "response_id": f"{query['query_id']}-{sample}",
                    "query_id": query["query_id"],
                    "sample": sample,
                    "seed": sample,
                    "text": text,
                    "prompt_tokens": 6,
                    "response_tokens": int(rng.integers(20, 160)),
                    "finish_reason": "length" if rng.random() < 0.02 else "stop",
                    "mean_logprob": None,
                    "engine": "fixture",
                }
            )
    write(build, "responses", rows)
    return {"rows": len(rows)}


def _verdicts(study: Study, store: Store, build: Build, ref: Ref) -> dict[str, Any]:
    gold = {q["query_id"]: q["gold"] for q in _read(build, f"queries/{study.pools[ref.name].source}", "queries")}
    rows = []
    for response in _read(build, f"responses/{ref.name}", "responses", ref.partition):
        answer = response["text"].rpartition("{")[2].rstrip("}")
        undecided = _rng("undecided", response["response_id"]).random() < 0.01
        verdict = "undecided" if undecided else ("correct" if answer == gold[response["query_id"]] else "wrong")
        rows.append(
            {
                "response_id": response["response_id"],
                "query_id": response["query_id"],
                "verdict": verdict,
                "extracted": answer,
                "reason": "time-limit" if undecided else "compared",
                "seconds": 0.001,
            }
        )
    write(build, "verdicts", rows)
    return {"rows": len(rows)}


def _datasets(study: Study, store: Store, build: Build, ref: Ref) -> dict[str, Any]:
    dataset = study.datasets[ref.name]
    if dataset.like:
        rows = _read(build, f"datasets/{dataset.like}", "examples")[: dataset.rows]
        rows = [{**row, "response": row["response"].rpartition("</think>")[2]} for row in rows]
    else:
        pool = study.pools[dataset.pool or ""]
        queries = {q["query_id"]: q for q in _read(build, f"queries/{pool.source}", "queries")}
        verdicts, responses = {}, []
        for shard in pool.shard_keys:
            responses += _read(build, f"responses/{pool.name}", "responses", shard)
            for v in _read(build, f"verdicts/{pool.name}", "verdicts", shard):
                verdicts[v["response_id"]] = v["verdict"]
        chosen = {}
        for response in responses:
            if dataset.recipe == "one-any" or verdicts[response["response_id"]] == "correct":
                chosen.setdefault(response["query_id"], response)
        rows = []
        for row, (query_id, response) in enumerate(sorted(chosen.items())[: dataset.rows]):
            query = queries[query_id]
            rows.append(
                {
                    "row": row,
                    "query_id": query_id,
                    "response_id": response["response_id"],
                    "verdict": verdicts[response["response_id"]],
                    "data_source": pool.source,
                    "question": query["question"],
                    "answer": query["gold"],
                    "message": [{"role": "user", "content": query["prompt"]}],
                    "response": response["text"],
                    "response_length": len(response["text"]),
                    "advantage": 1.0,
                }
            )
    write(build, "examples", rows)
    return {"rows": len(rows)}


def _base_models(study: Study, store: Store, build: Build, ref: Ref) -> dict[str, Any]:
    (build.folder / "model.safetensors").write_bytes(ref.name.encode())
    return {"parameters": study.models[ref.name].parameters}


def _checkpoints(study: Study, store: Store, build: Build, ref: Ref) -> dict[str, Any]:
    words = ref.name if ref.step == 0 else f"{ref.run} {ref.step}"
    (build.folder / "model.safetensors").write_bytes(words.encode())
    if ref.step == 0:
        return {"step": 0}
    run = study.runs[ref.run]
    examples = _read(build, f"datasets/{run.dataset}", "examples")
    batch, rows = run.schedule.batch_size, len(examples)
    an_epoch = max(1, rows // batch)
    curves, seen = [], []
    for step in range(1, ref.step + 1):
        noise = _rng(ref.run, step).normal(0, 0.02)
        curves.append(
            {
                "step": step,
                "epoch": step / an_epoch,
                "loss": 2.0 * np.exp(-step / 40) + 0.3 + noise,
                "grad_norm": 1.0 + abs(noise),
                "lr": run.schedule.lr,
                "tokens": batch * 60,
                "seconds": 0.1,
                "held_out_loss": 2.1 * np.exp(-step / 40) + 0.35 if step in study.steps_of(run) else None,
            }
        )
        for position in range(batch):
            row = ((step - 1) * batch + position) % (an_epoch * batch)
            seen.append(
                {
                    "step": step,
                    "position": position,
                    "row": row,
                    "query_id": examples[row % rows]["query_id"],
                    "tokens": 66,
                    "cut_tokens": 0,
                }
            )
    write(build, "curves", curves)
    write(build, "seen", seen)
    return {"step": ref.step}


def _benchmarks(study: Study, store: Store, build: Build, ref: Ref, version: int = 1) -> dict[str, Any]:
    benchmark = study.benchmarks[ref.name]
    rows = [
        {
            "item_id": _id(ref.name, i),
            "position": i,
            "question": f"item {i}" if i or version == 1 else f"item {i}, reworded",
            "gold": str(i),
            "category": "even" if i % 2 == 0 else "odd",
            "fields": "{}",
        }
        for i in range(benchmark.items or 100)
    ]
    write(build, "items", rows)
    return {"rows": len(rows), "state": "locked"}


def success_rate(group: str, thinking: bool, index: int) -> float:
    """What a fixture's checkpoint solves: `index` is the place of its step in the run, 0 the base."""
    if group == "in-domain":
        after = 0.15 if index == DIP else 0.45 + 0.08 * index
        return 0.4 if index == 0 else min(0.95, after if thinking else 0.5)
    if group == "safety":
        return 0.1 + (0.1 if thinking else 0.01) * index
    return min(0.9, 0.2 + (0.07 if thinking else 0.01) * index)


def _scores(study: Study, store: Store, build: Build, ref: Ref, completions: bool = True) -> dict[str, Any]:
    run, benchmark = study.runs[ref.run], study.benchmarks[ref.benchmark]
    index = study.steps_of(run).index(ref.step)
    rate = success_rate(benchmark.group, study.datasets[run.dataset].thinking, index)
    items = _read(build, f"benchmarks/{ref.benchmark}", "items")
    # Step 0 is the same model in every run, so its answers are the same.
    who = run.model if ref.step == 0 else f"{run.name} {ref.step}"
    texts, graded = [], []
    for item in items:
        hardness = _rng("hardness", item["item_id"]).random()
        for sample in range(benchmark.sampling.n):
            rng = _rng(who, item["item_id"], sample)
            solved = hardness * 0.7 + rng.random() * 0.3 < rate
            length = int(rng.integers(5, 25)) if index == 0 else int(rng.integers(30, 160))
            cut = length > 150
            texts.append(
                {
                    "item_id": item["item_id"],
                    "sample": sample,
                    "seed": sample,
                    "prompt_sha256": _id(item["question"]),
                    "text": f"answer of {who} to {item['question']}",
                    "prompt_tokens": 5,
                    "response_tokens": length,
                    "finish_reason": "length" if cut else "stop",
                    "think_closed": (not cut) if index else None,
                    "ended_by_eos": not cut,
                    "repetition_loop": cut and rng.random() < 0.5,
                }
            )
            for grader in ("strict", "authors"):
                for metric in benchmark.metrics:
                    undecided = grader == "strict" and rng.random() < 0.005
                    graded.append(
                        {
                            "item_id": item["item_id"],
                            "sample": sample,
                            "grader": grader,
                            "metric": metric,
                            "state": "undecided" if undecided else "scored",
                            "value": None if undecided else float(solved and (grader == "authors" or not cut)),
                            "extracted": "7",
                            "reason": "compared",
                            "category": item["category"],
                            "response_tokens": length,
                            "truncated": cut,
                            "weight": 1.0,
                        }
                    )
    write(build, "graded", graded)
    write(build, "scores", list(_summaries(graded)))
    return {"completions": _store_completions(store, build, ref, texts)} if completions else {}


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
    """As `steps/completions.py` lays them out: addressed by what was asked of which weights."""
    inputs = list(build.identity.inputs)
    fingerprint = hashlib.sha256(json.dumps([[i.asset.split("/")[0], i.digest] for i in inputs]).encode()).hexdigest()
    folder = store.home / "completions" / ref.benchmark / fingerprint[:12]
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
                fingerprint=fingerprint,
                spec={},
                inputs=[InputRecord(i.asset, i.partition, i.digest, i.output) for i in inputs],
                digest=combined_digest({path.name: digest}),
                files=[FileRecord(path.name, path.stat().st_size, digest, rows)],
            ),
        )
    digest = json.loads((folder / "manifest.json").read_text())["digest"]
    return {"folder": folder.relative_to(store.home).as_posix(), "digest": digest}


_MAKERS = {
    "queries": _queries,
    "responses": _responses,
    "verdicts": _verdicts,
    "datasets": _datasets,
    "base_models": _base_models,
    "checkpoints": _checkpoints,
    "benchmarks": _benchmarks,
    "scores": _scores,
}
