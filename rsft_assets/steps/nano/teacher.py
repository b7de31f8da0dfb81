"""Procedural teachers of the nano study: they work a question out aloud, slip, notice, check, and are sometimes wrong.

    answer = procedure("worked-sums", style="full", habit=0.8)
    answer(query_fields, random.Random(seed)).text

A response is a `<think>` part and a short summary with the boxed answer. `Worked.truth` says what happened, for
counts that a verifier's work is checked against; it is never part of the response.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from rsft_assets.specs.errors import SpecError, nearest

Truth = Literal["right", "unnoticed-slip", "habit", "no-box", "gave-up"]
Style = Literal["full", "light"]


@dataclass(frozen=True)
class Worked:
    """One response and what is known about it."""

    text: str
    truth: Truth


Procedure = Callable[[dict[str, Any], random.Random], Worked]
"""The `fields` of a query and a source of chance -> a response."""


def worked_sums(style: Style = "full", error_rate: float = 0.1, habit: float = 0.0) -> Procedure:
    """Running sums. `full` writes every step as an equation, with slips that it notices and corrects and a check at
    the end; `light` notes the running totals only.

    At `error_rate` a slip at a random place goes unnoticed, at half of that rate the box is left out. `habit` is the
    chance that a response forgets the carry whenever it adds nine: an error with a system, which does not average out.
    """

    def answer(fields: dict[str, Any], chance: random.Random) -> Worked:
        return _SumTrace(fields["terms"], chance, style).respond(error_rate, habit)

    return answer


class _SumTrace:
    def __init__(self, terms: list[int], chance: random.Random, style: Style) -> None:
        self.terms, self.chance, self.style = terms, chance, style

    def respond(self, error_rate: float, habit: float) -> Worked:
        chance, terms = self.chance, self.terms
        drawn = chance.random()
        truth: Truth = "unnoticed-slip" if drawn < error_rate else "no-box" if drawn < 1.5 * error_rate else "right"
        slip_at = chance.randint(1, len(terms) - 1) if truth == "unnoticed-slip" else 0
        forgetful = chance.random() < habit
        lines, total = [], terms[0]
        for place, term in enumerate(terms[1:], start=1):
            said = right = total + term
            if forgetful and term == 9 and total % 10:
                said = right - 10
                truth = "habit" if truth == "right" else truth
            if place == slip_at:
                said = _slip(said, chance)
            lines.append(self._step(total, term, said))
            total = said
        if self.style == "full" and chance.random() < 0.4:
            # Undo the last step: what is left must be the sum of the others, as the trace has it.
            lines.append(f"check {total}-{terms[-1]}={total - terms[-1]} right")
        thought = "\n".join(lines) if self.style == "full" else " ".join([str(terms[0]), *lines])
        boxed = f"\\boxed{{{total}}}" if truth != "no-box" else str(total)
        return Worked(f"<think>\n{thought}\n</think>\n\nThe sum is {boxed}.", truth)

    def _step(self, total: int, term: int, said: int) -> str:
        if self.style == "light":
            return str(said)
        step = f"{total}+{term}={said}"
        if self.chance.random() < 0.15:
            return f"{total}+{term}={_slip(said, self.chance)} wait, {step}"
        return step


def _slip(right: int, chance: random.Random) -> int:
    return max(0, right + chance.choice((-10, -2, -1, 1, 2, 10)))


def countdown_search(tries: int = 6, error_rate: float = 0.1) -> Procedure:
    """Search: up to `tries` dead ends, each worked out and rejected, then a way that reaches the target.

    At `error_rate` a dead end is taken for the way, at half of that rate it gives up without a box.
    """

    def answer(fields: dict[str, Any], chance: random.Random) -> Worked:
        numbers, target = fields["numbers"], fields["target"]
        ways = [_way(numbers, order) for order in _orders(numbers)]
        good, bad = [way for way in ways if way[1] == target], [way for way in ways if way[1] != target]
        drawn = chance.random()
        dead = chance.sample(bad, min(len(bad), chance.randint(0, tries)))
        lines = [f"{steps} no" for _, _, steps in dead]
        if drawn < 1.5 * error_rate and dead:
            if drawn >= error_rate:
                return Worked("<think>\n" + "\n".join(lines) + "\n</think>\n\nI cannot make it.", "gave-up")
            expression, _, steps = dead[-1]
            lines[-1] = f"{steps} yes"
            return Worked(_countdown_text(lines, expression), "unnoticed-slip")
        expression, _, steps = chance.choice(good)
        return Worked(_countdown_text([*lines, f"{steps} yes"], expression), "right")

    return answer


def _countdown_text(lines: list[str], expression: str) -> str:
    return "<think>\n" + "\n".join(lines) + f"\n</think>\n\nIt is \\boxed{{{expression}}}."


_Order = tuple[int, int, int, str, str]


def _orders(numbers: list[int]) -> list[_Order]:
    """Every way to take the numbers one after the other: places and the signs between them."""
    places = [(a, b, c) for a in range(3) for b in range(3) for c in range(3) if len({a, b, c}) == 3]
    return [(*place, first, second) for place in places for first in "+-*" for second in "+-*"]


def _way(numbers: list[int], order: _Order) -> tuple[str, int, str]:
    """(expression, value, its two steps in words) of one order."""
    a, b, c = (numbers[place] for place in order[:3])
    first, second = order[3:]
    middle = _apply(first, a, b)
    value = _apply(second, middle, c)
    expression = f"({a}{first}{b}){second}{c}"
    return expression, value, f"{a}{first}{b}={middle} {middle}{second}{c}={value}"


def _apply(sign: str, a: int, b: int) -> int:
    return a + b if sign == "+" else a - b if sign == "-" else a * b


PROCEDURES: dict[str, Callable[..., Procedure]] = {
    "worked-sums": worked_sums,
    "countdown-search": countdown_search,
}


def procedure(name: str, **options: Any) -> Procedure:
    """A procedural teacher by name, with the options that its spec declares."""
    if name not in PROCEDURES:
        raise SpecError(f"unknown procedure {name!r}: {nearest(name, PROCEDURES)}")
    return PROCEDURES[name](**options)
