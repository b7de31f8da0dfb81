"""Plausible records of every stage but the scores, for a study that nobody trained; see `finished_study.py`."""

import hashlib
import zlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.study import Study
from rsft_assets.steps.records.columns import arrow_schema
from rsft_assets.steps.records.store import Build, Store

SLIP = 0.2
"""Share of the teacher's responses that are wrong."""


def write(build: Build, kind: str, rows: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(rows, schema=arrow_schema(kind)), build.folder / f"{kind}.parquet")


def read(build: Build, asset: str, kind: str, partition: str = "") -> list[dict[str, Any]]:
    return pq.read_table(build.input(asset, partition).file(f"{kind}.parquet")).to_pylist()


def rng_of(*words: object) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(repr(words).encode()))


def id_of(*words: object) -> str:
    return hashlib.sha256(repr(words).encode()).hexdigest()[:16]


def queries(study: Study, store: Store, build: Build, ref: Ref) -> dict[str, Any]:
    rows = []
    for i in range(study.sources[ref.name].origin.count):  # type: ignore[union-attr]
        left, right = rng_of(ref.name, i).integers(1, 50, 2)
        rows.append(
            {
                "query_id": id_of(ref.name, i),
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


def responses(study: Study, store: Store, build: Build, ref: Ref) -> dict[str, Any]:
    pool = study.pools[ref.name]
    rows = []
    for i, query in enumerate(read(build, f"queries/{pool.source}", "queries")):
        if i % pool.shards != int(ref.partition):
            continue
        for sample in range(pool.sampling.n):
            rng = rng_of(query["query_id"], sample)
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


def verdicts(study: Study, store: Store, build: Build, ref: Ref) -> dict[str, Any]:
    gold = {q["query_id"]: q["gold"] for q in read(build, f"queries/{study.pools[ref.name].source}", "queries")}
    rows = []
    for response in read(build, f"responses/{ref.name}", "responses", ref.partition):
        answer = response["text"].rpartition("{")[2].rstrip("}")
        undecided = rng_of("undecided", response["response_id"]).random() < 0.01
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


def datasets(study: Study, store: Store, build: Build, ref: Ref) -> dict[str, Any]:
    dataset = study.datasets[ref.name]
    if dataset.like:
        rows = read(build, f"datasets/{dataset.like}", "examples")[: dataset.rows]
        rows = [{**row, "response": row["response"].rpartition("</think>")[2]} for row in rows]
        if dataset.recipe == "human-solution":
            rows = [{**row, "response_id": None, "verdict": None} for row in rows]
    else:
        pool = study.pools[dataset.pool or ""]
        queries = {q["query_id"]: q for q in read(build, f"queries/{pool.source}", "queries")}
        verdicts, responses = {}, []
        for shard in pool.shard_keys:
            responses += read(build, f"responses/{pool.name}", "responses", shard)
            for v in read(build, f"verdicts/{pool.name}", "verdicts", shard):
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


def base_models(study: Study, store: Store, build: Build, ref: Ref) -> dict[str, Any]:
    _model(build, ref.name)
    return {"parameters": study.models[ref.name].parameters}


def _model(build: Build, words: str) -> None:
    (build.folder / "config.json").write_text("{}")
    (build.folder / "model.safetensors").write_bytes(words.encode())


def checkpoints(study: Study, store: Store, build: Build, ref: Ref) -> dict[str, Any]:
    words = ref.name if ref.step == 0 else f"{ref.run} {ref.step}"
    _model(build, words)
    if ref.step == 0:
        return {"step": 0}
    run = study.runs[ref.run]
    examples = read(build, f"datasets/{run.dataset}", "examples")
    batch, rows = run.schedule.batch_size, len(examples)
    an_epoch = max(1, rows // batch)
    curves, seen = [], []
    for step in range(1, ref.step + 1):
        noise = rng_of(ref.run, step).normal(0, 0.02)
        curves.append(
            {
                "step": step,
                "epoch": step / an_epoch,
                "loss": 2.0 * np.exp(-step / 40) + 0.3 + noise,
                "grad_norm": 1.0 + abs(noise),
                "lr": run.schedule.lr,
                "tokens": batch * 60,
                "seconds": 0.1,
                "entropy": 1.5 * np.exp(-step / 40) + 0.2 + noise,
                "base_kl": step / 100 if step in study.steps_of(run) else None,
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
    facts = {"held_out_loss": curves[-1]["held_out_loss"], "set_rows": rows, "set_tokens": 50 * rows, "set_cut_rows": 0}
    return {"step": ref.step, **facts}


def benchmarks(study: Study, store: Store, build: Build, ref: Ref, version: int = 1) -> dict[str, Any]:
    benchmark = study.benchmarks[ref.name]
    rows = [
        {
            "item_id": id_of(ref.name, i),
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


MAKERS = {
    "queries": queries,
    "responses": responses,
    "verdicts": verdicts,
    "datasets": datasets,
    "base_models": base_models,
    "checkpoints": checkpoints,
    "benchmarks": benchmarks,
}
