"""Scores of published checkpoints: rows of a card, and the hub's own form where it has one.

The form, `.eval_results/*.yaml`, is described at https://huggingface.co/docs/hub/eval-results. It is for benchmarks
that the hub has registered, under the task ids of their `eval.yaml`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rsft_assets.specs.benchmarks import Benchmark
from rsft_assets.specs.hub import Hub
from rsft_assets.specs.lineage import score_ref
from rsft_assets.specs.study import Study
from rsft_assets.specs.training import Run
from rsft_assets.steps.records.rows import read_rows
from rsft_assets.steps.records.store import Output, Store

_REGISTERED = {"Idavidrein/gpqa": ("diamond", 198), "TIGER-Lab/MMLU-Pro": ("mmlu_pro", 12_032)}
"""Repository -> task id, and how many items the task has: a score of fewer is another number."""
_GRADER = "strict"


@dataclass(frozen=True)
class Scored:
    """A headline score of one checkpoint."""

    benchmark: Benchmark
    step: int
    state: str
    value: float | None
    low: float | None
    high: float | None
    items: int
    truncated: int
    samples: int
    date: str


def scores_of(study: Study, store: Store, run: Run, outputs: Mapping[int, Output]) -> Iterator[Scored]:
    """The strict headline scores of these very checkpoints, by step; a damaged one is an error."""
    for step, checkpoint in outputs.items():
        for benchmark in study.benchmarks_of(run.model):
            output = store.current(score_ref(run, step, benchmark.name))
            if output is None or checkpoint.digest not in {link.digest for link in output.manifest.inputs}:
                continue
            for row in read_rows(output.verified().file("scores.parquet")):
                if (row["grader"], row["metric"], row["category"]) == (_GRADER, benchmark.metrics[0], "all"):
                    kept = {
                        name: row[name] for name in ("state", "value", "low", "high", "items", "truncated", "samples")
                    }
                    yield Scored(benchmark=benchmark, step=step, date=output.manifest.finished_at, **kept)


def eval_results(last: list[Scored]) -> tuple[dict[str, bytes], list[str]]:
    """(files in the hub's form, why the other scores have none) for the scores of one checkpoint."""
    files, left_out = {}, []
    for scored in last:
        name = f".eval_results/{scored.benchmark.name}.yaml"
        if why := _without_form(scored):
            left_out.append(f"{name}: {why}")
        else:
            files[name] = _entry(scored)
    return files, left_out


def _without_form(scored: Scored) -> str:
    """Why a score cannot be told in the hub's form; empty where it can."""
    repo = scored.benchmark.origin.repo if isinstance(scored.benchmark.origin, Hub) else ""
    if repo not in _REGISTERED:
        return "not known to be registered as a benchmark of the hub"
    task, items = _REGISTERED[repo]
    if scored.value is None:
        return f"it is {scored.state}"
    return "" if scored.items == items else f"{scored.items} items are scored, and the hub's task {task} has {items}"


def _entry(scored: Scored) -> bytes:
    origin = scored.benchmark.origin
    assert isinstance(origin, Hub) and scored.value is not None
    task, _ = _REGISTERED[origin.repo]
    interval = (
        ""
        if scored.low is None or scored.high is None
        else f"95 % interval {_percent(scored.low)} to {_percent(scored.high)}, "
    )
    sampling = scored.benchmark.sampling
    notes = f"step {scored.step}, {interval}{sampling.n} samples an item at temperature {sampling.temperature:g}"
    dataset = {"id": origin.repo, "task_id": task, **({"revision": origin.revision} if origin.revision else {})}
    entry = {"dataset": dataset, "value": _percent(scored.value), "date": scored.date[:10], "notes": notes}
    # JSON is YAML.
    return json.dumps([entry], indent=1).encode() + b"\n"


def _percent(share: float) -> float:
    return round(100 * share, 2)
