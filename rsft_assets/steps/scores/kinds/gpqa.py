"""GPQA-Diamond: multiple choice of four, in an order that is the item's own.

`strict` is the paper's rule (`choice.py`). `authors` does what their code does: the last box anywhere, else the first
of a few patterns.
"""

import hashlib
import random
import re
from collections.abc import Mapping
from typing import Any

from rsft_assets.specs.benchmarks import Benchmark
from rsft_assets.steps.scores.grading.task import ACCURACY, Grade, Item, Locked, Sample, Task, each
from rsft_assets.steps.scores.grading.text import boxes
from rsft_assets.steps.scores.kinds.choice import grade_letter, letter_of, strict_letter

ORDER_SEED = 42
_PATTERNS = (
    re.compile(r"answer is:?\s*\(?([A-D])\b", re.IGNORECASE),
    re.compile(r"answer:?\s*\(?([A-D])\b", re.IGNORECASE),
    re.compile(r"option\s+\(?([A-D])\b", re.IGNORECASE),
)


def read(row: Mapping[str, Any]) -> Locked:
    """gold is the correct answer's text; fields.options holds it first, then the three wrong ones."""
    columns = ("Correct Answer", *(f"Incorrect Answer {n}" for n in (1, 2, 3)))
    options = [str(row[name]).strip() for name in columns]
    fields = {"options": options, "record": row.get("Record ID")}
    return Locked(str(row["Question"]).strip(), options[0], row.get("High-level domain"), fields)


def prompt(item: Item, benchmark: Benchmark) -> str:
    shown = ", ".join(f"{letter}) {option}" for letter, option in zip("ABCD", options_of(item), strict=True))
    return (
        f"Problem: {item.question}\nOptions: {shown}\n"
        "Please reason step by step and return your final answer within \\boxed{}. "
        "Only include the letter choice (A, B, C, or D) as your final answer."
    )


def options_of(item: Item) -> list[str]:
    """The four options in an order that is the item's own; the authors' order changed with every process."""
    options = list(item.fields["options"])
    seed = hashlib.sha256(f"{ORDER_SEED} {item.question}".encode()).hexdigest()
    random.Random(seed).shuffle(options)
    return options


def authors_letter(text: str) -> tuple[str | None, str]:
    found = boxes(text)
    if found and (letter := letter_of(found[-1])):
        return letter, "box"
    for pattern in _PATTERNS:
        if match := pattern.search(text):
            return match[1].upper(), "pattern"
    return None, "no-answer"


def grade_one(sample: Sample, grader: str) -> list[Grade]:
    options = options_of(sample.item)
    gold = "ABCD"[options.index(sample.item.gold or "")]
    letter, reason = strict_letter(sample.text) if grader == "strict" else authors_letter(sample.text)
    return grade_letter(letter, reason, gold, len(options))


TASK = Task(prompt, each(grade_one), (ACCURACY,), lambda published: published.items(read))
