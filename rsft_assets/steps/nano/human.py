"""Short solutions to sums as a person in a hurry writes them: groups of terms, few words, sometimes a slip."""

import random
from collections.abc import Sequence

SLIPS = 0.1
"""Share of solutions that end in a wrong number."""


def human_solution(terms: Sequence[int], chance: random.Random) -> str:
    """Two groups, each summed without steps, then their sum."""
    cut = chance.randint(2, len(terms) - 2)
    left, right = sum(terms[:cut]), sum(terms[cut:])
    if chance.random() < SLIPS:
        left = max(0, left + chance.choice((-10, -2, -1, 1, 2, 10)))
    groups = f"{_shown(terms[:cut])}={left}, {_shown(terms[cut:])}={right}"
    return f"{groups}, {left}+{right}={left + right}. The answer is \\boxed{{{left + right}}}."


def _shown(terms: Sequence[int]) -> str:
    return "+".join(map(str, terms))
