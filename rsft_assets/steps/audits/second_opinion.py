"""A second opinion that shares no code with the verifier: plain text and exact fractions.

    second_opinion(gold, response, kind) -> "same", "different" or "unknown"

It reads the last box after the thinking, and decides only what it can be sure of: equal text once spacing
and decoration are gone, or two rational numbers (or tuples of them). Everything else is unknown.
"""

import ast
import json
import re
from collections import Counter
from fractions import Fraction
from typing import Literal

Opinion = Literal["same", "different", "unknown"]
_DECORATION = re.compile(
    r"\\left|\\right|\\!|\\,|\\;|\\:|\\ |\\displaystyle|\\mathrm|\\text(?:bf|rm)?|\^\{?\\circ\}?|[$~\s]"
)
_FRACTION = re.compile(r"(-?)\\[dt]?frac\{?(-?\d+)\}?\{?(-?\d+)\}?")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d+)?|\.\d+)(?:/\d+)?")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?:\D|$))")
_LONGEST = 500


def second_opinion(gold: str, response: str, kind: str) -> Opinion:
    """Whether the boxed answer of a response is what gold says."""
    answer = last_box(response.rpartition("</think>")[2])
    if answer is None or len(answer) > _LONGEST:
        return "unknown"
    return _countdown(gold, answer) if kind == "countdown" else _math(gold, answer)


def last_box(text: str) -> str | None:
    r"""What the last `\boxed{…}` holds, its braces balanced; None where there is none."""
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    depth, begin = 0, start + len("\\boxed{")
    for place in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth < 0:
            return text[begin:place]
    return None


def _math(gold: str, answer: str) -> Opinion:
    ours, theirs = plain(gold), plain(answer)
    if ours == theirs:
        return "same" if ours else "unknown"
    left, right = _numbers(ours), _numbers(theirs)
    if left is None or right is None:
        return "unknown"
    return "same" if left == right else "different"


def plain(text: str) -> str:
    """The text of an answer without spacing, dollars and decoration."""
    text = _DECORATION.sub("", text.strip().rstrip("."))
    text = _FRACTION.sub(r"\1\2/\3", text)
    return text[1:-1] if text.startswith("{") and text.endswith("}") else text


def _numbers(text: str) -> tuple[Fraction, ...] | None:
    """A rational number, or a tuple of them in round brackets; None for anything else."""
    if text.startswith("(") and text.endswith(")"):
        parts = text[1:-1].split(",")
        if len(parts) < 2:
            return None
    else:
        parts = [_THOUSANDS.sub("", text)]
    numbers = [_number(part) for part in parts]
    return None if None in numbers else tuple(number for number in numbers if number is not None)


def _number(text: str) -> Fraction | None:
    share = text.endswith("\\%")
    text = text.removesuffix("\\%")
    if not _NUMBER.fullmatch(text):
        return None
    top, _, bottom = text.partition("/")
    if bottom and int(bottom) == 0:
        return None
    return Fraction(top) / Fraction(bottom or "1") / (100 if share else 1)


def _countdown(gold: str, answer: str) -> Opinion:
    task = json.loads(gold)
    expression = plain(answer.replace("\\times", "*").replace("\\cdot", "*").replace("\\div", "/")).partition("=")[0]
    expression = expression.replace("×", "*").replace("÷", "/").replace("−", "-")
    try:
        value, used = _value(ast.parse(expression, mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
        return "unknown"
    given = Counter(task["numbers"])
    allowed = used == given or (task.get("rule") == "at-most-once" and used <= given)
    return "same" if allowed and value == task["target"] else "different"


def _value(node: ast.AST) -> tuple[Fraction, Counter[int]]:
    """Value and used numbers of an arithmetic expression; the tree is walked, never run."""
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return Fraction(node.value), Counter([node.value])
    if isinstance(node, ast.BinOp):
        (left, a), (right, b) = _value(node.left), _value(node.right)
        if isinstance(node.op, ast.Add):
            return left + right, a + b
        if isinstance(node.op, ast.Sub):
            return left - right, a + b
        if isinstance(node.op, ast.Mult):
            return left * right, a + b
        if isinstance(node.op, ast.Div):
            return left / right, a + b
    raise ValueError("not plain arithmetic")
