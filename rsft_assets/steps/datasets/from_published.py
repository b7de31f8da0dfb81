"""A finished set taken over: recipe `published`, for the authors' files and for traces of one's own.

Needed columns: `response`, and `question` or `message` or `prompt`; `answer` (or `gold`) where there is one.
Rows are kept as they are, in their order. Every response with an answer is judged here, like any other;
overlap with benchmarks is counted and nothing is removed. A repository that `rsft publish` has filled has held-out
rows, too, and the ids of the responses.
"""

import itertools
import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from rsft_assets.specs.datasets import Dataset
from rsft_assets.specs.errors import NoAccess, StepError
from rsft_assets.specs.hub import Hub
from rsft_assets.specs.placement import load_placement
from rsft_assets.specs.queries import BOXED_INSTRUCTION
from rsft_assets.steps.datasets.from_pool import benchmark_items
from rsft_assets.steps.processes.events import Progress
from rsft_assets.steps.records.columns import HELD_OUT_FILE
from rsft_assets.steps.records.digest import bytes_digest
from rsft_assets.steps.records.hub import dataset_rows, repository_file, where_from
from rsft_assets.steps.records.ids import query_id
from rsft_assets.steps.records.rows import without_surrogates
from rsft_assets.steps.records.store import Build, Output
from rsft_assets.steps.verdicts.verifier.verifier import VERIFIER_CONFIG, Answer, Verifier

log = logging.getLogger(__name__)


def rows_as_published(build: Build, dataset: Dataset, stats: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of the published set; `stats` receives what was found in them."""
    assert dataset.published is not None
    hub = dataset.published
    build.origin = "adopted"
    build.adopted_from = {
        "repo": hub.repo,
        "revision": hub.revision,
        "file": hub.file,
        "from": where_from(hub),
        "sha256": _sha256(hub),
    }
    build.made_by["verifier"] = VERIFIER_CONFIG
    items, checked = benchmark_items(build)
    stats["decontamination"] = {**checked, "removed": {}}
    stats["contaminated"] = 0
    progress = Progress(str(build.identity.ref), dataset.rows, "rows")
    count = 0
    with Verifier(workers=load_placement().workers) as verifier:
        published, to_judge = itertools.tee(itertools.chain(_examples(dataset, hub.repo), _held_out(hub)))
        judgements = verifier.judge(answer for row in to_judge if (answer := _answer(row)) is not None)
        for row in published:
            row["verdict"] = next(judgements).verdict if _answer(row) is not None else None
            if not row.pop("held_out", False):
                stats["contaminated"] += items.holding(row["question"]) is not None
                count += 1
                progress.step()
            yield row
    if count != dataset.rows:
        raise StepError(
            f"{build.identity.ref}: {count} rows in {where_from(hub)} where {dataset.rows} are declared; "
            + (f"declare rows = {count}, or complete it" if count else "it is empty")
        )


def say_if_changed(output: Output, dataset: Dataset) -> None:
    """Warn where the file that a finished set was made from is another now; a pinned set cannot be."""
    hub, before = dataset.published, (output.manifest.adopted_from or {}).get("sha256")
    if hub is None or hub.revision is not None or before is None:
        return
    try:
        now = _sha256(hub)
    except StepError:
        return  # the file is gone; the set stands for itself
    if now != before:
        log.warning(
            "%s is kept as it was made: %s in %s has changed since (sha256 %s, now %s); --force reads it anew",
            output.manifest.ref, hub.file, hub.repo, before, now,
        )  # fmt: skip


def _sha256(hub: Hub) -> str | None:
    return bytes_digest(repository_file(hub, hub.file)) if hub.file else None


def _examples(dataset: Dataset, repo: str) -> Iterator[dict[str, Any]]:
    assert dataset.published is not None
    for number, row in enumerate(dataset_rows(dataset.published)):
        yield read_example(row, number, f"{repo}, row {number}")


def _held_out(hub: Hub) -> Iterator[dict[str, Any]]:
    """The held-out rows of a set that was published from here; none where one file of a repository is named."""
    if hub.file is not None:
        return
    try:
        repository_file(hub, HELD_OUT_FILE)
    except NoAccess:
        return
    for number, row in enumerate(dataset_rows(hub, [HELD_OUT_FILE])):
        example = read_example(row, number, f"{hub.repo}, {HELD_OUT_FILE}, row {number}")
        yield {**example, "row": row.get("row", number), "held_out": True}


def _answer(row: Mapping[str, Any]) -> Answer | None:
    if not row["answer"]:
        return None
    return Answer(str(row["row"]), row["answer"], row["response"], kind=kind_of(row["answer"]))


def kind_of(gold: str) -> str:
    """A gold of numbers and a target is a Countdown task's."""
    return "countdown" if gold.startswith("{") and '"target"' in gold else "math"


def read_example(row: Mapping[str, Any], number: int, where: str) -> dict[str, Any]:
    """One published row as an example; missing columns are named."""
    turns = _turns(row.get("message") or row.get("messages") or row.get("prompt"))
    question = row.get("question") or row.get("problem") or (turns[-1]["content"] if turns else None)
    response = row.get("response")
    if not isinstance(question, str) or not isinstance(response, str):
        empty = [name for name in sorted(row) if row[name] is None]
        nothing = f", nothing in {', '.join(empty)}" if empty else ""
        raise StepError(
            f"{where}: columns {', '.join(sorted(row))}{nothing}; response and one of question, message, prompt "
            "are needed (map other names with `columns`)"
        )
    question, response = without_surrogates(question), without_surrogates(response)
    gold = row.get("answer", row.get("gold"))
    answer = json.dumps(gold, sort_keys=True) if isinstance(gold, dict) else "" if gold is None else str(gold)
    return {
        "row": number,
        "query_id": query_id(kind_of(answer), question, answer),
        "response_id": id_ if isinstance(id_ := row.get("response_id"), str) else None,
        "verdict": None,
        "data_source": str(row.get("data_source") or where.partition(",")[0]),
        "question": question,
        "answer": answer,
        "message": turns or [{"role": "user", "content": question + BOXED_INSTRUCTION}],
        "response": response,
        "response_length": len(response),
        "advantage": 1.0 if row.get("advantage") is None else float(row["advantage"]),
    }


def _turns(value: Any) -> list[dict[str, str]]:
    """Chat turns up to the last of the user's, from turns or from plain text."""
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    turns = [{"role": str(turn["role"]), "content": str(turn["content"])} for turn in value or ()]
    while turns and turns[-1]["role"] != "user":
        turns.pop()
    return turns
