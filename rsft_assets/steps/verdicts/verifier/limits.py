"""The verdicts, their reasons, and the limits of judging.

Comes in: nothing. Goes out: `VERDICTS`, `REASONS` and `Limits`. Imports nothing heavy, so that all may import it.
"""

from dataclasses import dataclass

VERDICTS: tuple[str, ...] = ("correct", "wrong", "unparseable", "undecided")

REASONS: dict[str, str] = {
    "equal": "correct: the answer equals gold",
    "different": "wrong: both were read and differ",
    "answer-unread": "wrong: an answer was found, but it is not mathematics and its text is not gold's",
    "wrong-numbers": "wrong: a countdown expression uses a number that was not given, or one too often",
    "unused-numbers": "wrong: a countdown expression leaves out a number that must be used",
    "division-by-zero": "wrong: a countdown expression divides by zero",
    "not-an-expression": "wrong: a countdown answer is not an arithmetic expression",
    "no-answer": "unparseable: the text holds nothing that could be an answer",
    "gold-missing": "unparseable: gold is absent or empty",
    "gold-unreadable": "unparseable: gold is not mathematics and the answer's text is not gold's",
    "response-missing": "unparseable: the response is absent",
    "row-unreadable": "unparseable: the row of the file could not be read",
    "think-not-closed": "unparseable: <think> is opened and never closed",
    "cut-off": "unparseable: <think> is never closed because the response hit its length limit",
    "time": "undecided: a step reached its limit of CPU time, or of wall time where it does not compute",
    "memory": "undecided: the memory limit was reached",
    "crash": "undecided: the worker process died",
}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What judging may cost, enforced from outside the process that judges."""

    seconds: float = 5.0
    """CPU time for each of math-verify's own steps: reading gold, reading the answer, one comparison."""
    wall_seconds: float = 300.0
    """Wall time for the same steps: far above `seconds`, so that a busy machine does not reach it and a hang does."""
    memory_bytes: int = 1 << 30
    """Resident memory of one worker; twice this and 2 GiB more is its limit of address space."""
    extracted_chars: int = 200
    """How much of an extracted answer a judgement keeps."""
    waiting_answers: int = 32_768
    """How many answers may be between input and output at once."""
    waiting_chars: int = 64_000_000
    """How many characters of text may wait to be judged."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value <= 0:
                raise ValueError(f"Limits.{name} is {value}; give a number above zero")
