"""What a task is: how an item is put to a model, and how stored answers become grades."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rsft_assets.specs.benchmarks import Benchmark

if TYPE_CHECKING:
    from rsft_assets.steps.scores.grading.tools import Tools


@dataclass(frozen=True)
class Item:
    """One item of a benchmark; the fields are those of `items.parquet`."""

    item_id: str
    question: str
    gold: str | None = None
    category: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, row: dict[str, Any]) -> "Item":
        fields = json.loads(row["fields"] or "{}")
        return cls(row["item_id"], row["question"], row["gold"], row["category"], fields)


@dataclass(frozen=True)
class Sample:
    """One stored answer to grade."""

    item: Item
    number: int
    text: str
    finish_reason: str = "stop"

    @property
    def id(self) -> str:
        return f"{self.item.item_id}-{self.number}"


@dataclass(frozen=True)
class Grade:
    """One metric of one sample. A value only where the state is `scored`: nothing undecided is ever a zero."""

    metric: str
    value: float | None
    reason: str
    extracted: str | None = None
    state: str = "scored"
    weight: float = 1.0
    """Of the item in the mean over items: IFEval's instruction level counts instructions."""

    def __post_init__(self) -> None:
        if (self.state == "scored") != (self.value is not None):
            raise ValueError(f"grade of {self.metric}: state {self.state} with value {self.value}")


def undecided(metric: str, reason: str, extracted: str | None = None) -> Grade:
    return Grade(metric, None, reason, extracted, "undecided")


def not_run(metric: str, reason: str) -> Grade:
    return Grade(metric, None, reason, None, "not-run")


def question_alone(item: Item, benchmark: Benchmark) -> str:
    """A prompt that adds nothing to the question."""
    return item.question


def _always() -> str:
    return ""


@dataclass(frozen=True)
class Task:
    """A prompt and its graders."""

    prompt: Callable[[Item, Benchmark], str]
    """The user turn."""
    grade: "Callable[[Iterable[Sample], str, Benchmark, Tools], Iterator[list[Grade]]]"
    """For each sample, in order, its grades under one grader."""
    unavailable: Callable[[], str] = _always
    """Why it cannot be graded here, in words; empty where it can."""
    unbounded: frozenset[str] = frozenset()
    """Metrics that are no shares in [0, 1], such as a reward: they get no pass@k and another interval."""


def each(grade_one: Callable[[Sample, str], list[Grade]]) -> Any:
    """A `Task.grade` from a pure function of one sample."""

    def grade(samples: Iterable[Sample], grader: str, benchmark: Benchmark, tools: "Tools") -> Iterator[list[Grade]]:
        return (grade_one(sample, grader) for sample in samples)

    return grade
