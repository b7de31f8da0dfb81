"""How each benchmark spells its items: rows of its data set, or a nano generator, in; `Locked` items out.

Every reader gives the text of the task before any prompt is built around it, the reference answer where
there is one, and in `fields` what that benchmark's prompt and grader need (named in the reader).
"""

import csv
import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rsft_assets.specs.benchmarks import Benchmark
from rsft_assets.specs.errors import StepError, nearest
from rsft_assets.specs.hub import Generator, Hub
from rsft_assets.steps.nano.skills import items
from rsft_assets.steps.records.hub import dataset_rows, repository_file
from rsft_assets.steps.records.hub_client import NoAccess, Unavailable


@dataclass(frozen=True)
class Locked:
    """One item as its benchmark has it."""

    question: str
    gold: str | None = None
    category: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)


def read_items(benchmark: Benchmark) -> Iterator[Locked]:
    """All items of a benchmark, in its own order."""
    if isinstance(benchmark.origin, Generator):
        generator = benchmark.origin
        options: dict[str, Any] = dict(generator.options)
        for item in itertools.islice(items(generator.name, generator.seed, **options), generator.count):
            yield Locked(item.question, item.gold, item.category, item.fields)
        return
    if benchmark.task not in READERS:
        raise StepError(
            f"benchmarks {benchmark.name!r}: no reader for task {benchmark.task!r}: {nearest(benchmark.task, READERS)}"
        )
    yield from READERS[benchmark.task](benchmark)


def _hub(benchmark: Benchmark) -> Hub:
    assert isinstance(benchmark.origin, Hub)
    return benchmark.origin


def _each(read: Callable[[Mapping[str, Any]], Locked], *files: str) -> Callable[[Benchmark], Iterator[Locked]]:
    def rows(benchmark: Benchmark) -> Iterator[Locked]:
        hub = _hub(benchmark)
        for number, row in enumerate(dataset_rows(hub, files)):
            try:
                yield read(row)
            except (KeyError, TypeError, ValueError, IndexError) as error:
                raise StepError(
                    f"{hub.repo}, row {number}: {type(error).__name__} {error}; columns are {', '.join(sorted(row))}"
                ) from error

    return rows


def _math(row: Mapping[str, Any]) -> Locked:
    """MATH-500 (problem, answer, solution, subject, level, unique_id) and AIME (problem, answer)."""
    kept = ("solution", "subject", "level", "unique_id", "id", "url", "year")
    fields = {name: row[name] for name in kept if name in row}
    return Locked(row["problem"], str(row["answer"]), row.get("subject"), fields)


def _code(row: Mapping[str, Any]) -> Locked:
    """LiveCodeBench: tests stay encoded as published; fields: starter_code, tests, platform, dates."""
    kept = ("starter_code", "public_test_cases", "private_test_cases", "metadata", "platform", "question_id")
    fields = {name: row.get(name) for name in kept}
    fields["contest_date"] = str(row.get("contest_date") or "")
    return Locked(row["question_content"], None, row.get("difficulty"), fields)


def _gpqa(row: Mapping[str, Any]) -> Locked:
    """GPQA: gold is the correct answer's text; fields.options holds it first, then the three wrong ones."""
    columns = ("Correct Answer", *(f"Incorrect Answer {n}" for n in (1, 2, 3)))
    options = [str(row[name]).strip() for name in columns]
    fields = {"options": options, "record": row.get("Record ID")}
    return Locked(str(row["Question"]).strip(), options[0], row.get("High-level domain"), fields)


def _mmlu_pro(row: Mapping[str, Any]) -> Locked:
    """MMLU-Pro: gold is the letter; fields: options, question_id, src."""
    options = [option for option in row["options"] if option != "N/A"]
    fields = {"options": options, "question_id": row.get("question_id"), "src": row.get("src")}
    return Locked(row["question"], row["answer"], row["category"], fields)


def _ifeval(row: Mapping[str, Any]) -> Locked:
    """IFEval: fields: key, instruction_id_list, kwargs (without the nulls that Parquet fills in)."""
    kwargs = [{name: value for name, value in one.items() if value is not None} for one in row["kwargs"]]
    fields = {"key": row["key"], "instruction_id_list": list(row["instruction_id_list"]), "kwargs": kwargs}
    return Locked(row["prompt"], None, row["instruction_id_list"][0].partition(":")[0], fields)


def _alpacaeval(row: Mapping[str, Any]) -> Locked:
    """AlpacaEval: fields: reference (the published output) and its generator."""
    fields = {"reference": row.get("output"), "generator": row.get("generator")}
    return Locked(row["instruction"], None, row.get("dataset"), fields)


def _truthfulqa(row: Mapping[str, Any]) -> Locked:
    """TruthfulQA: fields: best_answer, correct_answers, incorrect_answers, from either published layout."""
    if "Question" in row:
        correct, incorrect = (
            [part.strip() for part in str(row[name]).split(";") if part.strip()]
            for name in ("Correct Answers", "Incorrect Answers")
        )
        question, best, category = row["Question"], row["Best Answer"], row.get("Category")
    else:
        question, best, category = row["question"], row.get("best_answer"), row.get("category")
        correct, incorrect = list(row.get("correct_answers") or ()), list(row.get("incorrect_answers") or ())
    fields = {"best_answer": best, "correct_answers": correct, "incorrect_answers": incorrect}
    return Locked(str(question).strip(), None, category, fields)


def _hex_phi(benchmark: Benchmark) -> Iterator[Locked]:
    """HEx-PHI as published: a file a category, a prompt a line, no header. Else a table of one's own."""
    hub = _hub(benchmark)
    try:
        files = {number: repository_file(hub, f"category_{number}.csv") for number in _HEX_PHI_CATEGORIES}
    except NoAccess:
        yield from _each(_hex_phi_row)(benchmark)
        return
    for number, path in files.items():
        with path.open(encoding="utf-8", newline="") as file:
            for cells in csv.reader(file):
                # A prompt that was not quoted is in as many cells as it has commas.
                if text := ",".join(cells).strip():
                    yield Locked(text, None, _HEX_PHI_CATEGORIES[number])


_HEX_PHI_CATEGORIES = {
    1: "illegal activity",
    3: "hate, harassment, violence",
    4: "malware",
    5: "physical harm",
    6: "economic harm",
    7: "fraud, deception",
    8: "adult content",
    9: "political campaigning",
    10: "privacy violation",
    11: "tailored financial advice",
}
"""The second category was withdrawn by its publishers."""


def _hex_phi_row(row: Mapping[str, Any]) -> Locked:
    for name in ("prompt", "instruction", "Behavior", "text"):
        if row.get(name):
            category = row.get("category") or row.get("Tags")
            return Locked(str(row[name]), None, str(category) if category is not None else None)
    raise KeyError("prompt")


_HALUEVAL = {
    "qa": ("answer", ("knowledge", "question")),
    "dialogue": ("response", ("knowledge", "dialogue_history")),
    "summarization": ("summary", ("document",)),
}


def _halueval(benchmark: Benchmark) -> Iterator[Locked]:
    """HaluEval: gold is Yes (hallucinated) or No; fields: subtask, shown, and the columns that its prompt needs.

    Its configurations `<subtask>_samples` show one answer each and say what it is. Where only the pairs are
    to be had, the row's own hash decides which of the two is shown.
    """
    hub = _hub(benchmark)
    for subtask, (what, context) in _HALUEVAL.items():
        try:
            rows = list(dataset_rows(replace(hub, config=f"{subtask}_samples")))
        except StepError as error:
            if isinstance(error, Unavailable):
                raise
            rows = list(dataset_rows(replace(hub, config=subtask)))
        for row in rows:
            fields = {"subtask": subtask, **{name: row[name] for name in context}}
            if "hallucination" in row:
                shown, hallucinated = row[what], str(row["hallucination"]).lower() == "yes"
            else:
                hallucinated = _draw(json.dumps(fields, sort_keys=True)) % 2 == 1
                shown = row[f"hallucinated_{what}" if hallucinated else f"right_{what}"]
            yield Locked(str(row[context[-1]]), "Yes" if hallucinated else "No", subtask, {**fields, "shown": shown})


def _draw(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:8])


def _mmlu_pro_subset(benchmark: Benchmark) -> Iterator[Locked]:
    """The declared number of items, as even over the categories as can be, drawn by hash; all where none is declared.

    The authors' own subset of 1,000 is not public; this one is drawn as the paper says theirs was.
    """
    rows = list(_each(_mmlu_pro)(benchmark))
    if benchmark.items is None or len(rows) <= benchmark.items:
        yield from rows
        return
    places: dict[str, list[int]] = {}
    for place in sorted(range(len(rows)), key=lambda place: _draw(f"{rows[place].fields['question_id']}")):
        places.setdefault(rows[place].category or "", []).append(place)
    rounds = itertools.zip_longest(*(places[name] for name in sorted(places)))
    chosen = [place for one in rounds for place in one if place is not None][: benchmark.items]
    for place in sorted(chosen):
        yield rows[place]


READERS: dict[str, Callable[[Benchmark], Iterator[Locked]]] = {
    "math": _each(_math),
    "code": _each(_code, "test.jsonl", "test2.jsonl"),
    "gpqa": _each(_gpqa),
    "mmlu_pro": _mmlu_pro_subset,
    "ifeval": _each(_ifeval),
    "alpacaeval": _each(_alpacaeval, "alpaca_eval.json"),
    "truthfulqa": _each(_truthfulqa),
    "halueval": _halueval,
    "hex_phi": _hex_phi,
}
"""Task -> reader of its published items."""
