"""The verifier: answers in, judgements out, in the same order, through worker processes with hard limits.

Comes in: `Answer`s from any iterable. Goes out: one `Judgement` for each, streamed. Fastest where the answers to one
gold follow each other; right in any order.

    with Verifier(workers=2) as verifier:
        for judgement in verifier.judge(answers):
            ...
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, Self

from rsft_assets.specs.errors import StepError
from rsft_assets.steps.processes.program import Stopped
from rsft_assets.steps.verdicts.verifier.extract import SCOPES, judged_text
from rsft_assets.steps.verdicts.verifier.judging import Judging, Outcome, Task
from rsft_assets.steps.verdicts.verifier.limits import REASONS, VERDICTS, Limits
from rsft_assets.steps.verdicts.verifier.workers import WorkerPool

__all__ = ["KINDS", "REASONS", "VERDICTS", "VERIFIER_CONFIG", "Answer", "Judgement", "Limits", "Verifier"]

KINDS: tuple[str, ...] = ("math", "countdown")

VERIFIER_CONFIG: dict[str, Any] = {
    "versions": {name: version(name) for name in ("math-verify", "latex2sympy2_extended", "sympy")},
    "math": "verify(parse(f'${gold}$'), parse(text))",
    "extraction": "LaTeX and expressions as math-verify defaults: boxed priority 50, any_match, first_match fallback",
    "comparison": {"float_rounding": 6, "numeric_precision": 15, "strict": True, "allow_set_relation_comp": False},
    "countdown": "last <answer> pair, else last box; each number exactly once, or at most if the gold says so; exact",
    "judged_text": "tail: after the last </think>, an open <think> is unparseable; whole: all of it",
    "limits": asdict(Limits()),
}
"""What is stored with each set of verdicts."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One response to judge against its gold."""

    id: str
    gold: str
    response: str
    kind: str = "math"
    scope: str = "tail"
    finish_reason: str | None = None
    """`length` lets an unclosed <think> say that it was cut off."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """One verdict; `reason` is a key of `REASONS`."""

    id: str
    verdict: str
    extracted: str | None
    reason: str
    seconds: float


class Verifier:
    """Judges answers in persistent worker processes, which start with the first use. A context manager."""

    def __init__(self, *, workers: int = 2, limits: Limits = Limits()) -> None:  # noqa: B008
        if workers < 1:
            raise StepError(f"workers is {workers}; give at least 1")
        self._pool = WorkerPool(workers, limits)
        self._judging = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers; a later `judge` starts new ones."""
        self._pool.close()

    def judge(self, answers: Iterable[Answer]) -> Iterator[Judgement]:
        """One judgement for each answer, in the same order, reading ahead no further than the limits say."""
        if self._judging:
            raise StepError("this Verifier is already judging; finish that iteration or make a second Verifier")
        self._judging = True
        ids: deque[str] = deque()
        try:
            for outcome in Judging(self._pool, _tasks(answers, ids)).run():
                yield self._judgement(ids.popleft(), outcome)
        except (Stopped, KeyboardInterrupt):
            # It may have come in the middle of an order to the workers; ending them all needs none.
            self._pool.close()
            raise
        finally:
            self._judging = False
            self._pool.replace_busy()

    def _judgement(self, answer_id: str, outcome: Outcome) -> Judgement:
        extracted = outcome.extracted
        if extracted is not None and len(extracted) > self._pool.limits.extracted_chars:
            extracted = extracted[: self._pool.limits.extracted_chars - 1] + "…"
        return Judgement(answer_id, outcome.verdict, extracted, outcome.reason, outcome.seconds)


def _tasks(answers: Iterable[Answer], ids: deque[str]) -> Iterator[Task]:
    for answer in answers:
        ids.append(answer.id)
        yield _task(answer)


def _task(answer: Answer) -> Task:
    if answer.kind not in KINDS or answer.scope not in SCOPES:
        raise StepError(
            f"answer {answer.id!r}: kind {answer.kind!r}, scope {answer.scope!r}; "
            f"valid kinds: {', '.join(KINDS)}; valid scopes: {', '.join(SCOPES)}"
        )
    if answer.gold is None or answer.response is None:
        return Task(answer.kind, "", None, "gold-missing" if answer.gold is None else "response-missing")
    text, reason = judged_text(answer.response, answer.scope, answer.finish_reason)
    return Task(answer.kind, answer.gold, text, reason)
