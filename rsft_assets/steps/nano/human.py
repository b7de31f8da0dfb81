"""Short solutions to chains as a person in a hurry writes them: two lines for all steps, sometimes with a slip."""

import random
from collections.abc import Sequence

from rsft_assets.steps.nano.arithmetic import apply, slip

SLIPS = 0.1
"""Share of solutions that end in a wrong number."""


def human_solution(start: int, steps: Sequence[tuple[str, int]], chance: random.Random) -> str:
    """The steps in two groups, each with its result only."""
    cut = chance.randint(2, len(steps) - 2)
    middle = _value(start, steps[:cut])
    if chance.random() < SLIPS:
        middle = slip(middle, chance)
    last = _value(middle, steps[cut:])
    return (
        f"{start}{_shown(steps[:cut])}={middle}, {middle}{_shown(steps[cut:])}={last}. The answer is \\boxed{{{last}}}."
    )


def _value(value: int, steps: Sequence[tuple[str, int]]) -> int:
    for sign, number in steps:
        value = apply(sign, value, number)
    return value


def _shown(steps: Sequence[tuple[str, int]]) -> str:
    return " ".join(f"{sign}{number}" for sign, number in steps)
