"""Steps of arithmetic as the nano study's texts take them, right and slipped."""

import random


def apply(sign: str, left: int, right: int) -> int:
    """One step."""
    return left + right if sign == "+" else left - right if sign == "-" else left * right


def slip(right: int, chance: random.Random) -> int:
    """A number near the right one, below zero only where that is."""
    return right + chance.choice([off for off in (-10, -2, -1, 1, 2, 10) if right + off >= min(0, right)])
