"""Multiple choice (GPQA-Diamond, MMLU-Pro): which letter an answer gives.

`strict` takes the last box after the last `</think>`, else the last "answer is X" there. `authors` does what their code
does: for MMLU-Pro the first "answer is X" or boxed letter anywhere, tentative ones in the thinking included; for GPQA
the last box anywhere, else the first of a few patterns.
"""

import hashlib
import random
import re

from rsft_assets.specs.benchmarks import Benchmark
from rsft_assets.steps.scores.grading.task import Grade, Item, Sample, Task, each
from rsft_assets.steps.scores.grading.text import answer_part, boxes

LETTERS = "ABCDEFGHIJ"
GPQA_ORDER_SEED = 42
_MMLU_FIRST = re.compile(r"answer is \(?([A-J])\)?|\\boxed\{(?:\\text\{)?\s*([A-J])\s*\}")
_ANSWER_IS = re.compile(r"answer\s+is\s*+:?+\s*+\**+\s*+(?:\$\s*+)?+[(\[]?+([A-J])(?![A-Za-z])", re.IGNORECASE)
# Possessive: else a text that ends in thousands of line breaks is tried in as many ways as they can be shared out.
_GPQA_PATTERNS = (
    re.compile(r"answer is:?\s*\(?([A-D])\b", re.IGNORECASE),
    re.compile(r"answer:?\s*\(?([A-D])\b", re.IGNORECASE),
    re.compile(r"option\s+\(?([A-D])\b", re.IGNORECASE),
)
_WRAPPED = re.compile(r"\\(?:text|textbf|textrm|mathrm|mathbf|bf)\s*\{([^{}]*)\}")
_LETTER = re.compile(r"[(\[]?\s*([A-Za-z])\s*(?:[)\].:,]|$)")


def gpqa_prompt(item: Item, benchmark: Benchmark) -> str:
    shown = ", ".join(f"{letter}) {option}" for letter, option in zip("ABCD", gpqa_options(item), strict=True))
    return (
        f"Problem: {item.question}\nOptions: {shown}\n"
        "Please reason step by step and return your final answer within \\boxed{}. "
        "Only include the letter choice (A, B, C, or D) as your final answer."
    )


def gpqa_options(item: Item) -> list[str]:
    """The four options in an order that is the item's own; the authors' order changed with every process."""
    options = list(item.fields["options"])
    seed = hashlib.sha256(f"{GPQA_ORDER_SEED} {item.question}".encode()).hexdigest()
    random.Random(seed).shuffle(options)
    return options


def mmlu_pro_prompt(item: Item, benchmark: Benchmark) -> str:
    options = "\n".join(f"{LETTERS[i]}. {option}" for i, option in enumerate(item.fields["options"]))
    return (
        f"Question:\n{item.question}\nOptions:\n{options}\n"
        "Please reason step by step and return your final answer within \\boxed{}. "
        "Only include the letter choice (A, B, C, D, E, F, G, H, I or J) as your final answer."
    )


def letter_of(box: str) -> str | None:
    """The letter that the content of a box is: `C`, `(C)`, `\\text{C}`, `C. because …`."""
    bare = _WRAPPED.sub(r"\1", box).strip().strip("$*").strip()
    found = _LETTER.match(bare)
    return found[1].upper() if found else None


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


def mmlu_pro_authors_letter(text: str) -> tuple[str | None, str]:
    found = _MMLU_FIRST.search(text)
    return (found[1] or found[2], "first-match") if found else (None, "no-answer")


def gpqa_authors_letter(text: str) -> tuple[str | None, str]:
    found = boxes(text)
    if found and (letter := letter_of(found[-1])):
        return letter, "box"
    for pattern in _GPQA_PATTERNS:
        if match := pattern.search(text):
            return match[1].upper(), "pattern"
    return None, "no-answer"


def grade_gpqa(sample: Sample, grader: str) -> list[Grade]:
    options = gpqa_options(sample.item)
    gold = "ABCD"[options.index(sample.item.gold or "")]
    letter, how = strict_letter(sample.text) if grader == "strict" else gpqa_authors_letter(sample.text)
    return [_grade(letter, how, gold, len(options))]


def grade_mmlu_pro(sample: Sample, grader: str) -> list[Grade]:
    letter, how = strict_letter(sample.text) if grader == "strict" else mmlu_pro_authors_letter(sample.text)
    return [_grade(letter, how, sample.item.gold or "", len(sample.item.fields["options"]))]


def _grade(letter: str | None, how: str, gold: str, options: int) -> Grade:
    if letter is None:
        return Grade("accuracy", 0.0, how)
    if letter not in LETTERS[:options]:
        return Grade("accuracy", 0.0, "not-an-option", letter)
    return Grade("accuracy", float(letter == gold), how, letter)


GPQA = Task(gpqa_prompt, each(grade_gpqa))
MMLU_PRO = Task(mmlu_pro_prompt, each(grade_mmlu_pro))
