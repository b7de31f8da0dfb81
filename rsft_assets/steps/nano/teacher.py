"""Procedural teachers of the nano study: they work a question out aloud, slip, notice, check, and are sometimes wrong.

    answer = procedure("worked-steps", style="full", habit=0.8)
    answer(query_fields, random.Random(seed)).text

A response is a `<think>` part and a short summary with the boxed answer. `Worked.truth` says what happened, for
counts that a verifier's work is checked against; it is never part of the response.
"""

import inspect
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from rsft_assets.specs.errors import SpecError, nearest
from rsft_assets.steps.nano.arithmetic import Plan, Step, apply, slip, steps, value

Truth = Literal["right", "unnoticed-slip", "habit", "no-box", "gave-up"]
Style = Literal["full", "light"]


@dataclass(frozen=True)
class Worked:
    """One response and what is known about it."""

    text: str
    truth: Truth


Procedure = Callable[[dict[str, Any], random.Random], Worked]
"""The `fields` of a query and a source of chance -> a response."""


def worked_steps(style: Style = "full", error_rate: float = 0.1, habit: float = 0.0) -> Procedure:
    """A plan, step by step, with slips that it notices and corrects and often a check at the end. `full` writes every
    step as an equation; `light` notes what it came to.

    At `error_rate` a slip at a random place goes unnoticed, at half of that rate the box is left out. `habit` is the
    chance that a response forgets the carry whenever it adds nine: an error with a system, which does not average out.
    """

    def answer(fields: dict[str, Any], chance: random.Random) -> Worked:
        return _Trace(fields["plan"], chance, style, chance.random() < habit).respond(error_rate)

    return answer


class _Trace:
    def __init__(self, plan: Plan, chance: random.Random, style: Style, forgetful: bool) -> None:
        self.plan, self.chance, self.style, self.forgetful = plan, chance, style, forgetful
        self.slip_at: int | None = None

    def respond(self, error_rate: float) -> Worked:
        chance = self.chance
        drawn = chance.random()
        boxed = not error_rate <= drawn < 1.5 * error_rate
        if drawn < error_rate:
            self.slip_at = chance.randrange(len(self.plan))
        taken = list(steps(self.plan, self._result))
        lines = [self._line(step) for step in taken]
        last = taken[-1]
        if last.sign != "*" and chance.random() < 0.4:
            lines.append(_check(last))
        thought = ("\n" if self.style == "full" else " ").join(lines)
        answer = f"\\boxed{{{last.result}}}" if boxed else str(last.result)
        return Worked(f"<think>\n{thought}\n</think>\n\nThe answer is {answer}.", self._truth(last.result, boxed=boxed))

    def _truth(self, answer: int, *, boxed: bool) -> Truth:
        """By what came out: two errors can make up for each other."""
        if answer == value(self.plan):
            return "right" if boxed else "no-box"
        return "habit" if self.slip_at is None else "unnoticed-slip"

    def _result(self, place: int, sign: str, left: int, right: int) -> int:
        result = apply(sign, left, right)
        if self.forgetful and (sign, right) == ("+", 9) and left % 10:
            result -= 10
        return slip(result, self.chance) if place == self.slip_at else result

    def _line(self, step: Step) -> str:
        said = f"{step.asked}=" if self.style == "full" else ""
        right = f"{said}{step.result}"
        if self.chance.random() < 0.15:
            return f"{said}{slip(step.result, self.chance)} wait, {right}"
        return right


def _check(step: Step) -> str:
    """Undo the last step: what is left must be what the trace had before it."""
    back = "-" if step.sign == "+" else "+"
    return f"check {step.result}{back}{step.right}={apply(back, step.result, step.right)} right"


def countdown_search(error_rate: float = 0.1) -> Procedure:
    """Search in one order through what the numbers can come to: each dead end is worked out and rejected, until a way
    reaches the target.

    At `error_rate` a dead end is taken for the way, at half of that rate it gives up without a box.
    """

    def answer(fields: dict[str, Any], chance: random.Random) -> Worked:
        target = fields["target"]
        ways = _ways_to_different_values(fields["numbers"])
        drawn, last = chance.random(), [way[1] for way in ways].index(target)
        truth: Truth = "right"
        if last and drawn < error_rate:
            truth, last = "unnoticed-slip", chance.randrange(last)
        lines = [f"{worked_out} no" for _, _, worked_out in ways[:last]]
        if last and error_rate <= drawn < 1.5 * error_rate:
            return Worked("<think>\n" + "\n".join(lines) + "\n</think>\n\nI cannot make it.", "gave-up")
        expression, _, worked_out = ways[last]
        thought = "\n".join([*lines, f"{worked_out} yes"])
        return Worked(f"<think>\n{thought}\n</think>\n\nIt is \\boxed{{{expression}}}.", truth)

    return answer


def solve(fields: dict[str, Any], chance: random.Random) -> str:
    """One expression that reaches the target."""
    numbers, target = fields["numbers"], fields["target"]
    return chance.choice([expression for expression, value, _ in _ways(numbers) if value == target])


def _ways_to_different_values(numbers: list[int]) -> list[tuple[str, int, str]]:
    """Of several ways to one value the first."""
    ways: dict[int, tuple[str, int, str]] = {}
    for way in _ways(numbers):
        ways.setdefault(way[1], way)
    return list(ways.values())


def _ways(numbers: list[int]) -> list[tuple[str, int, str]]:
    """Every way to add or take the numbers one after the other without going below zero: as an expression, its value
    and its two steps.
    """
    ways = []
    for a, b, c in itertools.permutations(numbers):
        for first, second in itertools.product("+-", repeat=2):
            middle = apply(first, a, b)
            value = apply(second, middle, c)
            if min(middle, value) >= 0:
                ways.append(
                    (f"({a}{first}{b}){second}{c}", value, f"{a}{first}{b}={middle} {middle}{second}{c}={value}")
                )
    return ways


PROCEDURES: dict[str, Callable[..., Procedure]] = {
    "worked-steps": worked_steps,
    "countdown-search": countdown_search,
}


def procedure(name: str, **options: Any) -> Procedure:
    """A procedural teacher by name, with the options that its spec declares."""
    if name not in PROCEDURES:
        raise SpecError(f"unknown procedure {name!r}: {nearest(name, PROCEDURES)}")
    known = inspect.signature(PROCEDURES[name]).parameters
    for option, given in options.items():
        if option not in known:
            raise SpecError(f"procedure {name!r}: unknown option {option!r}: {nearest(option, known)}")
        if option == "style":
            if given not in get_args(Style):
                raise SpecError(f"procedure {name!r}: option style: {given!r}: {nearest(str(given), get_args(Style))}")
        elif isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= 1:
            raise SpecError(f"procedure {name!r}: option {option}: {given!r} is no share from 0 to 1")
    return PROCEDURES[name](**options)
