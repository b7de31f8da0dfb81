"""GPQA-Diamond: multiple choice of four, in an order that is the item's own.

`strict` is the paper's rule (`choice.py`). `authors` does what their code does (GPQADiamond/testing_utils.py at
3378e2b): the text is what the last box anywhere holds, or all of it where there is none; the first of four patterns
gives the letter, else the text must be a bare letter. In `\\boxed{\\text{C}}` and `\\boxed{(C)}` there is none.
"""

import hashlib
import random
import re
from collections.abc import Mapping
from typing import Any

from rsft_assets.specs.benchmarks import Benchmark
from rsft_assets.steps.scores.grading.task import VOTED, Grade, Item, Locked, Sample, Task, each
from rsft_assets.steps.scores.kinds.choice import grade_letter, strict_letter

ORDER_SEED = 42
_PATTERNS = tuple(
    # Possessive: a text that ends in thousands of line breaks is read once.
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"answer\s*+(?:is|:)\s*+([A-D])",
        r"(?:choose|select|pick)\s*+(?:option\s*+)?+([A-D])",
        r"(?:option|choice)\s*+([A-D])\s*+is (?:correct|right)",
        r"\b([A-D])\s*+is (?:correct|right|the answer)",
    )
)
"""No word has to end after the letter: of "the answer is Dogs", D is read."""
_BOX = "\\boxed{"


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
    box = _last_box(text)
    part = text if box is None else box
    for pattern in _PATTERNS:
        if match := pattern.search(part):
            return match[1].upper(), "pattern"
    bare = part.rstrip(".").rstrip("/").strip().upper()
    return (bare, "box" if box is not None else "bare-letter") if bare in tuple("ABCD") else (None, "no-answer")


def _last_box(text: str) -> str | None:
    """What the last box holds, up to the last brace of its first line; None where it does not close."""
    start = text.rfind(_BOX)
    depth = 0
    for brace in re.finditer(r"[{}]", text[start:]) if start >= 0 else ():
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            box = text[start : start + brace.end()]
            line, closed, _ = box.removeprefix(_BOX).partition("\n")[0].rpartition("}")
            return line if closed else box
    return None


def grade_one(sample: Sample, grader: str) -> list[Grade]:
    options = options_of(sample.item)
    gold = "ABCD"[options.index(sample.item.gold or "")]
    letter, reason = strict_letter(sample.text) if grader == "strict" else authors_letter(sample.text)
    return grade_letter(letter, reason, gold, len(options))


TASK = Task(prompt, each(grade_one), (VOTED,), lambda published: published.items(read))
