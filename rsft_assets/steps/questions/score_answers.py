"""A few answers of a score for people to read: question, answer and verdict of its first items.

The same items for every checkpoint, so that steps can be compared. Benchmarks on safety have none.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from rsft_assets.specs.benchmarks import GRADERS, Benchmark
from rsft_assets.specs.errors import StepError
from rsft_assets.steps.records.output import Output
from rsft_assets.steps.records.rows import read_rows
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.results.outputs_found import completions_of
from rsft_assets.steps.scores.completions import read_completions
from rsft_assets.steps.scores.grading.task import Metric
from rsft_assets.steps.scores.grading.tasks import task_of


@dataclass(frozen=True)
class Answer:
    """The first sample of one item."""

    question: str
    answer: str
    verdict: str
    gold: str | None = None


def first_answers(store: Store, benchmark: Benchmark, score: Output, count: int = 3) -> list[Answer]:
    """The first items of a score with a number; empty where the benchmark's texts are not shown."""
    completions = completions_of(store, score) if benchmark.shows_texts else None
    if completions is None:
        return []
    metric = task_of(benchmark).headline
    # Every file is in the items' order, so that only its start is read.
    graded = list(islice(_graded(score, metric), count))
    wanted = {row["item_id"] for row in graded}
    texts = {row["item_id"]: row["text"] for row in _first(read_completions(completions, _TEXT), wanted)}
    (link,) = (entry for entry in score.manifest.inputs if entry.asset.startswith("benchmarks/"))
    rows = read_rows(store.used(link).file("items.parquet"), ["item_id", "question", "gold"])
    items = {row["item_id"]: row for row in _first(rows, wanted)}
    if not wanted <= texts.keys() & items.keys():
        raise StepError(f"{score.manifest.ref}: its graded items have no text or no question; score it again")
    return [
        Answer(items[item]["question"], texts[item], verdict(row, metric), items[item]["gold"])
        for row in graded
        for item in (row["item_id"],)
    ]


_TEXT = ["item_id", "sample", "text"]


def _graded(score: Output, metric: Metric) -> Iterator[dict[str, Any]]:
    wanted = (GRADERS[0], metric.name, 0)
    for row in read_rows(score.file("graded.parquet")):
        if (row["grader"], row["metric"], row["sample"]) == wanted:
            yield row


def _first(rows: Iterator[dict[str, Any]], wanted: set[str]) -> Iterator[dict[str, Any]]:
    """The first row of each wanted item; stops reading with the last of them."""
    left = set(wanted)
    for row in rows:
        if row["item_id"] in left:
            left.remove(row["item_id"])
            yield row
        if not left:
            return


def verdict(row: dict[str, Any], metric: Metric) -> str:
    """The word of `main.texts` for one graded sample."""
    if row["state"] != "scored":
        return str(row["state"])
    if row["value"] == (0 if metric.lower_is_better else 1):
        return "correct"
    return "wrong" if metric.unit == "share" and row["value"] in (0, 1) else "partly"
