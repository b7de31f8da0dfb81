"""Multiple choice: which letter an answer gives under the paper's rule, and whether it is right.

The rule (`strict`) takes the last box after the last `</think>`, else the last "answer is X" there.
"""

import re

from rsft_assets.steps.scores.grading.task import Grade
from rsft_assets.steps.scores.grading.text import answer_part, boxes

LETTERS = "ABCDEFGHIJ"
# Possessive: else a text that ends in thousands of line breaks is tried in as many ways as they can be shared out.
_ANSWER_IS = re.compile(r"answer\s+is\s*+:?+\s*+\**+\s*+(?:\$\s*+)?+[(\[]?+([A-J])(?![A-Za-z])", re.IGNORECASE)
_WRAPPED = re.compile(r"\\(?:text|textbf|textrm|mathrm|mathbf|bf)\s*\{([^{}]*)\}")
_LETTER = re.compile(r"[(\[]?\s*([A-Za-z])\s*(?:[)\].:,]|$)")


def letter_of(box: str) -> str | None:
    """The letter that the content of a box is: `C`, `(C)`, `\\text{C}`, `C. because …`."""
    bare = _WRAPPED.sub(r"\1", box).strip().strip("$*").strip()
    match = _LETTER.match(bare)
    return match[1].upper() if match else None


def strict_letter(text: str) -> tuple[str | None, str]:
    """(letter, reason) of the paper's rule."""
    part = answer_part(text)
    if part is None:
        return None, "think-not-closed"
    for box in reversed(boxes(part)):
        if letter := letter_of(box):
            return letter, "box"
    said = [match[1].upper() for match in _ANSWER_IS.finditer(part)]
    return (said[-1], "answer-is") if said else (None, "no-answer")


def grade_letter(letter: str | None, reason: str, gold: str, options: int) -> list[Grade]:
    if letter is None:
        return [Grade("accuracy", 0.0, reason)]
    if letter not in LETTERS[:options]:
        return [Grade("accuracy", 0.0, "not-an-option", letter)]
    return [Grade("accuracy", float(letter == gold), reason, letter)]
