"""How each query source spells its columns: a row of the source in, a `Raw` query out.

`READERS` names the repositories we know; any other is read by the usual names of such columns. `problem_with`
names what is wrong with a row; the counts use that name.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from rsft_assets.specs.errors import StepError

PROBLEMS = ("empty-question", "no-gold", "proof", "multiple-choice", "invalid-problem", "unsolvable-numbers")
"""Why a row is left out, in the order in which it is asked."""
_CHOICE = re.compile(r"\(?[A-Ea-e]\)?\.?")
_OPTIONS = re.compile(
    r"(?:\(A\).*\(B\)|\bA[.)、:].*\bB[.)、:]|\\text(?:bf)?\{\(?A\)?.*\\text(?:bf)?\{\(?B\)?)", re.DOTALL
)
_PROOF_TYPES, _CHOICE_TYPES = ("proof",), ("mcq", "multi-choice", "multiple-choice")
_NOT_GOLD = ("notfound", "not found", "n/a", "none", "null")


@dataclass(frozen=True)
class Raw:
    """A query as its source has it."""

    question: str
    gold: str
    solution: str | None = None
    question_type: str = ""
    valid: bool = True
    fields: dict[str, Any] = field(default_factory=dict)


def problem_with(raw: Raw, kind: Literal["math", "countdown"]) -> str | None:
    """Why a query cannot be used, as one of `PROBLEMS`; None where it can."""
    if not raw.question.strip():
        return "empty-question"
    if kind == "countdown":
        return None if raw.valid else "unsolvable-numbers"
    type_, gold = raw.question_type.lower(), raw.gold.strip()
    if type_ in _PROOF_TYPES or gold.lower() in _PROOF_TYPES:
        return "proof"
    if not gold or gold.lower() in _NOT_GOLD:
        return "no-gold"
    # A letter is a guess that is right one time in four, and the options are often missing.
    if type_ in _CHOICE_TYPES or (_CHOICE.fullmatch(gold) and _OPTIONS.search(raw.question)):
        return "multiple-choice"
    return None if raw.valid else "invalid-problem"


def _openr1(row: Mapping[str, Any]) -> Raw:
    kept = ("problem_type", "question_type", "source", "uuid")
    return Raw(
        question=_text(row, "problem"),
        gold=_text(row, "answer"),
        solution=row.get("solution") or None,
        question_type=row.get("question_type") or "",
        fields={name: row.get(name) for name in kept},
    )


def _numinamath(row: Mapping[str, Any]) -> Raw:
    kept = ("problem_type", "question_type", "source", "synthetic", "problem_is_valid", "solution_is_valid")
    return Raw(
        question=_text(row, "problem"),
        gold=_text(row, "answer"),
        solution=row.get("solution") or None,
        question_type=row.get("question_type") or "",
        valid=(row.get("problem_is_valid") or "Yes") == "Yes",
        fields={name: row.get(name) for name in kept},
    )


def _countdown(row: Mapping[str, Any]) -> Raw:
    numbers, target = row.get("nums"), row.get("target")
    valid = isinstance(numbers, (list, tuple)) and len(numbers) > 0 and isinstance(target, int)
    if not valid:
        return Raw(question="Numbers and target are missing.", gold="", valid=False)
    return countdown_query([int(n) for n in numbers or ()], int(target), row.get("rule"))  # type: ignore[arg-type]


def countdown_query(numbers: list[int], target: int, rule: str | None = None) -> Raw:
    """The task in words, and its gold; a source may say in `rule` that numbers may be left out."""
    uses = "each number at most once" if rule == "at-most-once" else "every number exactly once"
    question = (
        f"Numbers: {numbers}\nTarget: {target}\n"
        "Write an arithmetic expression that equals the target. "
        f"Use {uses}, and only +, -, *, / and parentheses."
    )
    game = {"numbers": numbers, "target": target, **({"rule": rule} if rule else {})}
    return Raw(question=question, gold=json.dumps(game), fields={"numbers": numbers, "target": target})


_QUESTION_NAMES = ("question", "problem", "prompt", "query")
_GOLD_NAMES = ("answer", "gold", "final_answer", "expected_answer", "ground_truth")


def _usual(row: Mapping[str, Any]) -> Raw:
    if {"nums", "target"} <= row.keys():
        return _countdown(row)
    question = next((name for name in _QUESTION_NAMES if name in row), None)
    gold = next((name for name in _GOLD_NAMES if name in row), None)
    if question is None or gold is None:
        raise StepError(
            f"columns {', '.join(sorted(row))}: none of {', '.join(_QUESTION_NAMES)} with one of "
            f"{', '.join(_GOLD_NAMES)}; rename the columns of the source"
        )
    rest = {name: value for name, value in row.items() if isinstance(value, (str, int, float, bool))}
    solution = row.get("solution")
    return Raw(
        question=_text(row, question),
        gold=_text(row, gold),
        solution=solution if isinstance(solution, str) else None,
        fields={name: value for name, value in rest.items() if name not in (question, gold, "solution")},
    )


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    return "" if value is None else str(value)


READERS: dict[str, Callable[[Mapping[str, Any]], Raw]] = {
    "open-r1/OpenR1-Math-220k": _openr1,
    "AI-MO/NuminaMath-1.5": _numinamath,
    "Jiayi-Pan/Countdown-Tasks-3to4-Unique": _countdown,
    "Jiayi-Pan/Countdown-Tasks-3to4": _countdown,
}


def read_query(repo: str, row: Mapping[str, Any]) -> Raw:
    """One row of a repository as a query; missing columns are a `StepError`."""
    return READERS.get(repo, _usual)(row)
