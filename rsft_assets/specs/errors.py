"""The exceptions that cross a boundary; each message names the value, the place and the remedy."""

import difflib
from collections.abc import Iterable


class SpecError(ValueError):
    """An invalid declaration: a study file, a name, a selection."""


class StepError(Exception):
    """A step that could not do its work: missing or damaged input, wrong machine, full disk."""


class Unavailable(StepError):
    """Nothing can be read at present: no revision is known, or the hub does not answer."""


class NoAccess(Unavailable):
    """The material is gated or absent: asking for access, or a mirror that holds it, is the remedy."""


def nearest(value: str, choices: Iterable[str]) -> str:
    """Words for an error message: the closest valid choices, or all of a short list."""
    known = sorted(choices)
    close = difflib.get_close_matches(value, known, n=4, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(close) + "?"
    shown = ", ".join(known[:12]) + (f", … ({len(known)} in all)" if len(known) > 12 else "")
    return f"valid: {shown}" if known else "none is declared"
