"""MMLU-Pro: multiple choice of up to ten, on a subset that is even over the categories.

`strict` is the paper's rule (`choice.py`). `authors` does what their code does (mmlu_pro/_default_template_yaml at
3378e2b): the first "answer is X" or boxed letter anywhere, tentative ones in the thinking included. A box with white
space counts as none, and any capital letter in one as an answer.
"""

import hashlib
import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from rsft_assets.specs.benchmarks import Benchmark
from rsft_assets.steps.scores.grading.task import VOTED, Grade, Item, Locked, Published, Sample, Task, each
from rsft_assets.steps.scores.kinds.choice import LETTERS, grade_letter, strict_letter

_FIRST = re.compile(r"answer is \(?([A-J])\)?|\\boxed\{(?:\\text\{)?([A-Z])\}")


def items(published: Published) -> Iterator[Locked]:
    """The declared number of items, as even over the categories as can be, drawn by hash; all where none is declared.

    The authors' own subset of 1,000 is not public; this one is drawn as the paper says theirs was.
    """
    rows, wanted = list(published.items(read)), published.benchmark.items
    if wanted is None or len(rows) <= wanted:
        yield from rows
        return
    places: dict[str, list[int]] = {}
    for place in sorted(range(len(rows)), key=lambda place: _drawn(rows[place])):
        places.setdefault(rows[place].category or "", []).append(place)
    rounds = itertools.zip_longest(*(places[name] for name in sorted(places)))
    chosen = [place for one in rounds for place in one if place is not None][:wanted]
    for place in sorted(chosen):
        yield rows[place]


def read(row: Mapping[str, Any]) -> Locked:
    """gold is the letter; fields: options, question_id, src."""
    options = [option for option in row["options"] if option != "N/A"]
    fields = {"options": options, "question_id": row.get("question_id"), "src": row.get("src")}
    return Locked(row["question"], row["answer"], row["category"], fields)


def _drawn(item: Locked) -> bytes:
    return hashlib.sha256(f"{item.fields['question_id']}".encode("utf-8", "replace")).digest()[:8]


def prompt(item: Item, benchmark: Benchmark) -> str:
    options = "\n".join(f"{LETTERS[i]}. {option}" for i, option in enumerate(item.fields["options"]))
    return (
        f"Question:\n{item.question}\nOptions:\n{options}\n"
        "Please reason step by step and return your final answer within \\boxed{}. "
        "Only include the letter choice (A, B, C, D, E, F, G, H, I or J) as your final answer."
    )


def authors_letter(text: str) -> tuple[str | None, str]:
    match = _FIRST.search(text)
    return (match[1] or match[2], "first-match") if match else (None, "no-answer")


def grade_one(sample: Sample, grader: str) -> list[Grade]:
    letter, reason = strict_letter(sample.text) if grader == "strict" else authors_letter(sample.text)
    return grade_letter(letter, reason, sample.item.gold or "", len(sample.item.fields["options"]))


TASK = Task(prompt, each(grade_one), (VOTED,), items)
