"""Short solutions as a person in a hurry writes them: half of the steps, few words, sometimes a slip."""

import random

from rsft_assets.steps.nano.arithmetic import Plan, apply, slip, steps

SLIPS = 0.1
"""Share of solutions in which one step is wrong."""


def human_solution(plan: Plan, chance: random.Random) -> str:
    """Every other result, without how it came about."""
    wrong = chance.randrange(len(plan)) if chance.random() < SLIPS else None

    def result(place: int, sign: str, left: int, right: int) -> int:
        outcome = apply(sign, left, right)
        return slip(outcome, chance) if place == wrong else outcome

    results = [step.result for step in steps(plan, result)]
    shown = ", ".join(map(str, results[len(results) % 2 :: 2]))
    return f"{shown}, so the answer is \\boxed{{{results[-1]}}}."
