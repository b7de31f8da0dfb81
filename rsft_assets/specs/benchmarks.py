"""Benchmarks: locked items, a prompt, sampling, and the metrics that graders give."""

from dataclasses import dataclass
from typing import Literal

from rsft_assets.specs.hub import Generator, Hub
from rsft_assets.specs.responses import Sampling

Group = Literal["in-domain", "ood-reasoning", "general", "safety"]
GRADERS = ("strict", "authors")
"""Both score every benchmark: what the paper's text says, and what its code does."""


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
    sensitive: bool = False
    """Prompts and completions never reach logs, metadata, figures or reports."""
    description: str = ""
