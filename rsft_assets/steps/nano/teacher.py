"""The procedural teacher: works a sum out aloud, slips, notices, checks, and is sometimes wrong in the end.

A response is a `<think>` part (running sums, slips that it corrects with "wait", a check) and a short
summary with the boxed answer. At `error_rate` a slip goes unnoticed and the summary carries it, at half
of that rate again the box is left out, so that verification has work. `Worked.truth` says what happened;
it goes into counts only, never into the response.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from rsft_assets.specs.errors import SpecError, nearest

Truth = Literal["right", "unnoticed-slip", "no-box"]


@dataclass(frozen=True)
class Worked:
    """One response and what is known about it."""

    text: str
    truth: Truth


def worked_answer(terms: list[int], chance: random.Random, *, error_rate: float) -> Worked:
    """A response to the sum of `terms`."""
    drawn = chance.random()
    truth: Truth = "unnoticed-slip" if drawn < error_rate else "no-box" if drawn < 1.5 * error_rate else "right"
    slip_at = chance.randint(1, len(terms) - 1) if truth == "unnoticed-slip" else 0
    lines, total = [], terms[0]
    for place, term in enumerate(terms[1:], start=1):
        right = total + term
        if place == slip_at:
            right = _slip(right, chance)
            lines.append(f"{total}+{term}={right}")
        elif chance.random() < 0.15:
            lines.append(f"{total}+{term}={_slip(right, chance)} wait, {total}+{term}={right}")
        else:
            lines.append(f"{total}+{term}={right}")
        total = right
    if chance.random() < 0.4:
        lines.append(_check(terms, total))
    answer = f"\\boxed{{{total}}}" if truth != "no-box" else str(total)
    thought = "\n".join(lines)
    return Worked(f"<think>\n{thought}\n</think>\n\nThe sum is {answer}.", truth)


def _slip(right: int, chance: random.Random) -> int:
    return max(0, right + chance.choice((-10, -2, -1, 1, 2, 10)))


def _check(terms: list[int], total: int) -> str:
    """Undo the last step: what is left must be the sum of the others, as the trace has it."""
    return f"check {total}-{terms[-1]}={total - terms[-1]} right"


Procedure = Callable[[dict[str, Any], random.Random], Worked]
"""The `fields` of a query and a source of chance -> a response."""


def _worked_sums(error_rate: float = 0.1) -> Procedure:
    return lambda fields, chance: worked_answer(fields["terms"], chance, error_rate=error_rate)


PROCEDURES: dict[str, Callable[..., Procedure]] = {"worked-sums": _worked_sums}


def procedure(name: str, **options: Any) -> Procedure:
    """A procedural teacher by name, with the options that its spec declares."""
    if name not in PROCEDURES:
        raise SpecError(f"unknown procedure {name!r}: {nearest(name, PROCEDURES)}")
    return PROCEDURES[name](**options)
