r"""Countdown answers: an arithmetic expression over given numbers that must reach a target, in exact arithmetic.

Comes in: gold as JSON `{"numbers": [...], "target": n}` and a text whose answer stands in the last `<answer>` pair,
else in the last `\boxed{}`. Goes out: verdict, extracted expression, reason. Every number must be used exactly as often
as it is given; `"rule": "at-most-once"` in the gold lets numbers be left out. Nothing is evaluated by Python: the
grammar is integers, + - * /, signs and brackets, in ASCII, Unicode or LaTeX, and the part after an equals sign is
ignored.
"""

import json
import re
from collections import Counter, deque
from fractions import Fraction
from typing import NamedTuple

Token = int | str

MAX_CHARS = 2_000
RULES = ("exactly-once", "at-most-once")

_ANSWER_OPEN = "<answer>"
_ANSWER_CLOSE = "</answer>"
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_SIGNS = str.maketrans(
    dict.fromkeys("＋﹢➕", "+")
    | dict.fromkeys("−–—‐‑‒﹣－➖", "-")
    | dict.fromkeys("×·⋅∗✕✖⨯＊•∙", "*")
    | dict.fromkeys("÷∕⁄／➗", "/")
    | dict.fromkeys("（[{⟨", "(")
    | dict.fromkeys("）]}⟩", ")")
    | dict.fromkeys("\xa0\u2009\u202f\u200b$&", " ")
    | {"＝": "="}
)
_COMMANDS = (
    (re.compile(r"\\(?:left|right|[Bb]igg?[lr]?)(?![A-Za-z])"), " "),
    (re.compile(r"\\(?:displaystyle|quad|qquad)(?![A-Za-z])|\\[,;:!() \[\]]|~"), " "),
    (re.compile(r"\\(?:times|cdot|ast)(?![A-Za-z])"), "*"),
    (re.compile(r"\\div(?![A-Za-z])"), "/"),
    (re.compile(r"\\(?:approx|equiv)(?![A-Za-z])"), "="),
    (re.compile(r"\\([{}])"), r"\1"),
)
_EQUALS = re.compile(r"[=≈≡→]")
_FRACTION = re.compile(r"\\[dtc]?frac(?![A-Za-z])")
_TOKEN = re.compile(r"\s*(?:([0-9]{1,30})(?![0-9.,]*[0-9])|([-+*/()]))")
_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "neg": 3, "pos": 3}


class Task(NamedTuple):
    """One game: the numbers that may be used and the number to reach."""

    numbers: tuple[Fraction, ...]
    target: Fraction
    rule: str = "exactly-once"


class NotAnExpression(ValueError):
    """The text is outside the grammar."""


def read_task(gold: str) -> Task | None:
    """The game that gold describes, or None where it describes none."""
    try:
        fields = json.loads(gold)
        numbers = tuple(_number(value) for value in fields["numbers"])
        rule = fields.get("rule", RULES[0])
        return Task(numbers, _number(fields["target"]), rule) if numbers and rule in RULES else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def find_answer(text: str) -> str | None:
    """The expression that a text offers: its last `<answer>` pair, else its last box, without any equals tail."""
    close = text.rfind(_ANSWER_CLOSE)
    start = text.rfind(_ANSWER_OPEN, 0, close) if close >= 0 else -1
    if start >= 0:
        offered = text[start + len(_ANSWER_OPEN) : close]
        boxed = _last_box(offered)
        return (offered if boxed is None else boxed).strip()
    boxed = _last_box(text)
    return boxed.strip() if boxed is not None else None


def judge_countdown(gold: str, text: str) -> tuple[str, str | None, str]:
    """Verdict, extracted expression and reason for one countdown answer."""
    task = read_task(gold)
    if task is None:
        return "unparseable", None, "gold-unreadable"
    answer = find_answer(text)
    if not answer:
        return "unparseable", None, "no-answer"
    try:
        tokens = read_expression(answer, task.target)
        # The numbers are compared first: that bounds what evaluating can cost.
        used, given = Counter(Fraction(token) for token in tokens if isinstance(token, int)), Counter(task.numbers)
        if used - given:
            return "wrong", answer, "wrong-numbers"
        if task.rule == "exactly-once" and given - used:
            return "wrong", answer, "unused-numbers"
        value = evaluate(tokens)
    except NotAnExpression:
        return "wrong", answer, "not-an-expression"
    except ZeroDivisionError:
        return "wrong", answer, "division-by-zero"
    return ("correct", answer, "equal") if value == task.target else ("wrong", answer, "different")


def read_expression(answer: str, target: Fraction | None = None) -> list[Token]:
    """The tokens of an expression, its notation unified and its equals tail dropped."""
    if len(answer) > MAX_CHARS:
        raise NotAnExpression(f"{len(answer)} characters")
    sides = _EQUALS.split(_unify(answer))
    first = _tokens(sides[0])
    # "62 = (92 - 26) - 4" puts the goal first.
    return _tokens(sides[1]) if len(sides) > 1 and first == [target] else first


def evaluate(tokens: list[Token]) -> Fraction:
    """The exact value of an expression; without recursion, so depth costs nothing."""
    values: list[Fraction] = []
    pending: list[str] = []
    operand_expected = True
    for token in tokens:
        if isinstance(token, int):
            _expect(operand_expected)
            values.append(Fraction(token))
            operand_expected = False
        elif token == "(":
            _expect(operand_expected)
            pending.append(token)
        elif token == ")":
            _expect(not operand_expected)
            _close(values, pending)
        elif operand_expected:
            _expect(token in "+-")
            pending.append("neg" if token == "-" else "pos")
        else:
            _reduce(values, pending, _PRECEDENCE[token])
            pending.append(token)
            operand_expected = True
    _expect(not operand_expected)
    _reduce(values, pending, 0)
    _expect(not pending and len(values) == 1)
    return values[0]


def _number(value: object) -> Fraction:
    if isinstance(value, bool) or not isinstance(value, int | str) or len(str(value)) > 100:
        raise ValueError(f"not a whole number: {value!r}"[:80])
    return Fraction(int(value))


def _last_box(text: str) -> str | None:
    last = deque(_BOX.finditer(text), maxlen=1)
    if not last:
        return None
    start = last[0].end()
    depth = 1
    for position in range(start, min(len(text), start + 2 * MAX_CHARS)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return text[start:position]
    return text[start : start + 2 * MAX_CHARS]


def _unify(answer: str) -> str:
    for pattern, replacement in _COMMANDS:
        answer = pattern.sub(replacement, answer)
    return _spell_fractions(answer).translate(_SIGNS)


def _spell_fractions(text: str) -> str:
    r"""`\frac{a}{b}` as `((a)/(b))`, innermost last, by position and not by recursion."""
    while True:
        last = deque(_FRACTION.finditer(text), maxlen=1)
        if not last:
            return text
        top, after_top = _group(text, last[0].end())
        bottom, after_bottom = _group(text, after_top)
        text = f"{text[: last[0].start()]}(({top})/({bottom})){text[after_bottom:]}"


def _group(text: str, start: int) -> tuple[str, int]:
    while start < len(text) and text[start].isspace():
        start += 1
    if start < len(text) and text[start] in "0123456789":
        return text[start], start + 1
    depth = 0
    for position in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            break
    else:
        raise NotAnExpression("a fraction without its braces")
    if position == start:
        raise NotAnExpression("a fraction without its braces")
    return text[start + 1 : position], position + 1


def _tokens(side: str) -> list[Token]:
    tokens: list[Token] = []
    position, side = 0, side.rstrip(" \t\r\n.;,")
    while position < len(side):
        token = _TOKEN.match(side, position)
        if token is None:
            raise NotAnExpression(side[position : position + 20])
        tokens.append(int(token[1]) if token[1] else token[2])
        position = token.end()
    return tokens


def _expect(holds: bool) -> None:
    if not holds:
        raise NotAnExpression("misplaced sign, number or bracket")


def _close(values: list[Fraction], pending: list[str]) -> None:
    _reduce(values, pending, 0)
    _expect(bool(pending))
    pending.pop()


def _reduce(values: list[Fraction], pending: list[str], down_to: int) -> None:
    while pending and pending[-1] != "(" and _PRECEDENCE[pending[-1]] >= max(down_to, 1):
        sign = pending.pop()
        right = values.pop()
        if sign in ("neg", "pos"):
            values.append(-right if sign == "neg" else right)
            continue
        left = values.pop()
        values.append(_apply(sign, left, right))


def _apply(sign: str, left: Fraction, right: Fraction) -> Fraction:
    if sign == "+":
        return left + right
    if sign == "-":
        return left - right
    return left * right if sign == "*" else left / right
