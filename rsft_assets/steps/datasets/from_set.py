"""Sets made from another set: recipes `without-thinking`, `first-rows` and `human-solution`.

They hold the same queries in the same order as the set they are `like`, and inherit its decontamination and
its held-out rows, which come last.
"""

import itertools
from collections.abc import Iterator
from typing import Any

from rsft_assets.specs.datasets import Dataset
from rsft_assets.specs.errors import StepError
from rsft_assets.steps.datasets.responses import without_thinking
from rsft_assets.steps.records.columns import EXAMPLES_FILE, HELD_OUT_FILE
from rsft_assets.steps.records.ids import normalised
from rsft_assets.steps.records.rows import read_rows
from rsft_assets.steps.records.store import Build, Output


def rows_from_set(build: Build, dataset: Dataset, stats: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of the set; `stats` receives what it inherits."""
    like = build.input(f"datasets/{dataset.like}")
    stats["like"] = {"dataset": dataset.like, "digest": like.digest}
    stats["decontamination"] = like.stats.get("decontamination", {})
    stats["contaminated"] = like.stats["checks"]["contaminated"]["value"]
    rows = itertools.islice(read_rows(like.file(EXAMPLES_FILE)), dataset.rows)
    held_out = itertools.islice(
        read_rows(like.file(HELD_OUT_FILE)) if like.has(HELD_OUT_FILE) else (), dataset.held_out
    )
    if dataset.recipe == "human-solution":
        yield from _with_solutions(build, dataset, like, rows, held_out)
    else:
        available = like.stats["rows"]
        if available < dataset.rows:
            raise StepError(
                f"{build.identity.ref}: {dataset.rows} rows are declared, but datasets/{dataset.like} has {available}; "
                "declare as many or fewer"
            )
        for row in itertools.chain(rows, held_out):
            yield _with_response(row, without_thinking(row["response"])) if not dataset.thinking else row


def _with_response(row: dict[str, Any], text: str, **changed: Any) -> dict[str, Any]:
    return {**row, "response": text, "response_length": len(text), **changed}


def _with_solutions(
    build: Build, dataset: Dataset, like: Output, rows: Iterator[dict[str, Any]], held_out: Iterator[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """The same queries, answered by the solution that the source has for the same question."""
    path = like.file(EXAMPLES_FILE)
    questions = {normalised(row["question"]) for row in itertools.islice(read_rows(path, ["question"]), dataset.rows)}
    kept_out = list(held_out)
    wanted = questions | {normalised(row["question"]) for row in kept_out}
    solutions: dict[str, str] = {}
    source = build.input(f"queries/{dataset.source}").file("queries.parquet")
    for query in read_rows(source, ["question", "solution"]):
        key = normalised(query["question"])
        if key in wanted and (query["solution"] or "").strip():
            solutions.setdefault(key, query["solution"])
    missing = len(questions - solutions.keys())
    if missing or like.stats["rows"] < dataset.rows:
        raise StepError(
            f"{build.identity.ref}: {dataset.rows} rows are declared, but {missing} of {len(questions)} questions of "
            f"datasets/{dataset.like} have no solution in queries/{dataset.source}; use a source that holds them"
        )
    for row in itertools.chain(rows, (row for row in kept_out if normalised(row["question"]) in solutions)):
        solution = solutions[normalised(row["question"])]
        yield _with_response(row, solution, response_id=None, verdict=None, data_source=dataset.source)
