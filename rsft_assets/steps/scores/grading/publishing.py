"""Grading one benchmark of one checkpoint, and publishing what comes of it.

Comes in: stored completions and the items. Goes out: graded.parquet and scores.parquet through the store.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rsft_assets.specs.benchmarks import GRADERS, Benchmark
from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.study import Study
from rsft_assets.steps.records.rows import RowWriter, write_rows
from rsft_assets.steps.records.store import Output, Store
from rsft_assets.steps.scores.completions import CompletionSet, read_completions
from rsft_assets.steps.scores.grading.tally import ALL, Tally, unscored_rows
from rsft_assets.steps.scores.grading.task import Grade, Item, Sample, Task, not_run
from rsft_assets.steps.scores.grading.tasks import TASKS, can_be_graded_now, task_of
from rsft_assets.steps.scores.grading.tools import Tools

_EXAMPLES = 3
_EXTRACTED_CHARS = 200


@dataclass
class Wanted:
    """One benchmark of one checkpoint on its way to a score."""

    ref: Ref
    benchmark: Benchmark
    items: list[Item]
    texts: CompletionSet
    completions: Output | None = None


def publish_scores(study: Study, store: Store, wanted: Wanted, tools: Tools, *, force: bool) -> Output:
    """Grade with both graders and publish; the output in use where it is finished already."""
    ref, benchmark, completions = wanted.ref, wanted.benchmark, wanted.completions
    assert completions is not None
    task = task_of(benchmark)
    unavailable = task.unavailable()
    kept = store.sound(ref)
    again = force or (kept is not None and can_be_graded_now(kept, benchmark))
    with store.build(study, ref, force=again) as build:
        if build.finished is None:
            tally = Tally(frozenset(metric.name for metric in task.metrics if metric.unit != "share"))
            before = tools.judging_of(benchmark.name)
            examples: list[str] = []
            with RowWriter(build.folder / "graded.parquet", "graded") as graded:
                for row in _graded_rows(task, benchmark, wanted.items, completions, tools, unavailable):
                    graded.add(row)
                    tally.add(row)
                    if len(examples) < _EXAMPLES and not benchmark.sensitive:
                        examples.append(_example(row))
            rows = tally.rows()
            write_rows(build.folder / "scores.parquet", "scores", rows)
            where = completions.folder.relative_to(store.home).as_posix()
            build.made_by["engine"] = completions.manifest.made_by.get("engine")
            build.publish(
                stats={
                    **_headline(task, rows),
                    **({"judges": judges} if (judges := tools.judges_of(benchmark.name)) else {}),
                    **({"judging": _since(before, now)} if (now := tools.judging_of(benchmark.name)) else {}),
                    "completions": {"folder": where, "digest": completions.digest},
                    **{name: value for name, value in completions.stats.items() if name != "completions"},
                    **({} if benchmark.sensitive else {"examples": examples}),
                }
            )
    return build.output


def _since(before: dict[str, dict[str, int]], now: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """What judging this one score took, of what the judges were asked in all."""
    return {role: {k: v - before.get(role, {}).get(k, 0) for k, v in counts.items()} for role, counts in now.items()}


def publish_unscored(study: Study, store: Store, ref: Ref, benchmark: Benchmark, state: str, reason: str) -> Output:
    """An output that says why there is no number."""
    with store.build(study, ref) as build:
        if build.finished is None:
            write_rows(build.folder / "graded.parquet", "graded", [])
            rows = unscored_rows(GRADERS, benchmark.metrics, state, reason)
            write_rows(build.folder / "scores.parquet", "scores", rows)
            build.publish(stats=_headline(task_of(benchmark), rows))
    return build.output


def _graded_rows(
    task: Task, benchmark: Benchmark, items: list[Item], completions: Output, tools: Tools, unavailable: str
) -> Iterator[dict[str, Any]]:
    by_id = {item.item_id: item for item in items}
    declared = {metric.name for metric in task.metrics}

    def samples() -> Iterator[Sample]:
        for row in read_completions(completions, columns=["item_id", "sample", "text", "finish_reason"]):
            yield Sample(by_id[row["item_id"]], row["sample"], row["text"], row["finish_reason"])

    facts = ["item_id", "sample", "response_tokens", "finish_reason"]
    for grader in GRADERS:
        grades: Iterator[list[Grade]]
        if unavailable:
            grades = ([not_run(metric, unavailable) for metric in benchmark.metrics] for _ in samples())
        else:
            grades = task.grade(samples(), grader, benchmark, tools)
        for fact, of_sample in zip(read_completions(completions, columns=facts), grades, strict=True):
            for grade in of_sample:
                if grade.metric not in declared:
                    raise StepError(
                        f"task {benchmark.task!r}: its grader gives {grade.metric!r}, which is none of its metrics; "
                        f"declare it in {TASKS[benchmark.task]}"
                    )
                yield _row(fact, grade, grader, by_id[fact["item_id"]], benchmark)


def _row(fact: dict[str, Any], grade: Grade, grader: str, item: Item, benchmark: Benchmark) -> dict[str, Any]:
    extracted = None if benchmark.sensitive or grade.extracted is None else grade.extracted[:_EXTRACTED_CHARS]
    return {
        "item_id": fact["item_id"],
        "sample": fact["sample"],
        "grader": grader,
        "metric": grade.metric,
        "state": grade.state,
        "value": grade.value,
        "extracted": extracted,
        "reason": grade.reason,
        "category": item.category,
        "response_tokens": fact["response_tokens"],
        "weight": grade.weight,
        "truncated": fact["finish_reason"] == "length",
    }


def _example(row: dict[str, Any]) -> str:
    """One graded sample for people to read."""
    return json.dumps(
        {key: row[key] for key in ("item_id", "metric", "value", "extracted", "reason")}, ensure_ascii=False
    )


def _headline(task: Task, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The headline under `strict`, for metadata."""
    metric = task.headline.name
    for row in rows:
        if (row["grader"], row["metric"], row["category"]) == (GRADERS[0], metric, ALL):
            keys = ("value", "low", "high", "items", "samples", "undecided", "not_run", "truncated", "mean_tokens")
            facts = {key: _rounded(row.get(key)) for key in keys}
            return {"state": row["state"], "reason": row["reason"], "metric": metric, "grader": GRADERS[0], **facts}
    return {"state": "not-run", "reason": "no sample", "metric": metric, "grader": GRADERS[0]}


def _rounded(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) else value
