"""Benchmarks: locked items, a prompt, sampling, and the metrics that graders give."""

from dataclasses import dataclass
from typing import Literal

from rsft_assets.specs.hub import Generator, Hub
from rsft_assets.specs.responses import Sampling

Group = Literal["in-domain", "ood-reasoning", "general", "safety"]
GRADERS = ("strict", "authors")
"""Both score every benchmark: what the paper's text says, and what its code does."""
GRADER_VERSIONS = dict.fromkeys(("code", "gpqa", "halueval", "hex_phi", "ifeval", "truthfulqa"), 2)
"""Task -> the version of its grading rules, from the second on. It is part of a score's identity: scores by an earlier
one are graded anew from their stored completions, and nothing else is made."""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One benchmark."""

    name: str
    title: str
    group: Group
    origin: Hub | Generator
    task: str
    """Name in the table of `steps/scores/grading/tasks.py`: the file that reads, asks and grades its items."""
    items: int | None
    """Rows the lock must hold; None where the local count is not public."""
    sampling: Sampling
    metrics: tuple[str, ...] = ("accuracy",)
    """Metrics of its task that every score of it has, the headline first; the task's file says what each is."""
    needs: tuple[Literal["code-isolation", "judge"], ...] = ()
    extra_stops: tuple[tuple[str, int], ...] = ()
    """(family of models, token) that ends an answer beside the end token, as the authors' script for it has it."""
    sensitive: bool = False
    """Prompts and completions never reach logs, metadata, figures or reports."""
    description: str = ""

    @property
    def shows_texts(self) -> bool:
        """Whether tables and the UI show people its questions and answers."""
        return self.group != "safety" and not self.sensitive

    def stops_of(self, family: str) -> tuple[int, ...]:
        """Tokens that end an answer of such a model, beside its end token."""
        return tuple(token for name, token in self.extra_stops if name == family)
