"""Calculations as the nano study's texts take them: a plan of steps, each on numbers or on what an earlier step gave.

plan = [[3, "*", 4], [2, "*", 5], ["#0", "+", "#1"]]        # 3*4+2*5
[step.equation for step in steps(plan)]                     # 3*4=12, 2*5=10, 12+10=22
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

Operand = int | str
Plan = Sequence[Sequence[Operand]]


@dataclass(frozen=True)
class Step:
    """One calculation with its result, which need not be right."""

    left: int
    sign: str
    right: int
    result: int

    @property
    def asked(self) -> str:
        return f"{self.left}{self.sign}{self.right}"

    @property
    def equation(self) -> str:
        return f"{self.asked}={self.result}"


def apply(sign: str, left: int, right: int) -> int:
    """One step, right."""
    return left + right if sign == "+" else left - right if sign == "-" else left * right


def steps(plan: Plan, result: Callable[[int, str, int, int], int] | None = None) -> Iterator[Step]:
    """The plan worked out; `result` gives each step's result (place, sign, left, right), by default the right one.

    What a step gave wrongly, later ones go on from.
    """
    results: list[int] = []
    for place, (first, sign, second) in enumerate(plan):
        left, right = (results[int(one[1:])] if isinstance(one, str) else one for one in (first, second))
        outcome = result(place, str(sign), left, right) if result else apply(str(sign), left, right)
        results.append(outcome)
        yield Step(left, str(sign), right, outcome)


def value(plan: Plan) -> int:
    """What the plan comes to."""
    *_, last = steps(plan)
    return last.result


def slip(right: int, chance: random.Random) -> int:
    """A number near the right one, below zero only where that is."""
    return right + chance.choice([off for off in (-10, -2, -1, 1, 2, 10) if right + off >= min(0, right)])
