"""What a kind of benchmark is: its items, how one is put to a model, how answers become grades, and its metrics."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from rsft_assets.specs.benchmarks import Benchmark

if TYPE_CHECKING:
    from rsft_assets.steps.scores.grading.tools import Tools


@dataclass(frozen=True)
class Locked:
    """One item as its benchmark has it: the text before any prompt is built around it, the reference answer if any."""

    question: str
    gold: str | None = None
    category: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    """What the prompt and the grader need besides."""


class Published(Protocol):
    """The published files of a benchmark. What may not be read raises `NoAccess`."""

    @property
    def benchmark(self) -> Benchmark: ...

    def rows(self, *files: str, config: str | None = None) -> Iterator[dict[str, Any]]:
        """Rows of the data set, of these files where the repository has them; `config` in place of the declared one."""

    def items(self, read: Callable[[Mapping[str, Any]], Locked], *files: str) -> Iterator[Locked]:
        """Each row read by `read`; what that cannot read is an error that names the row."""

    def file(self, name: str) -> Path:
        """One file of the repository."""


@dataclass(frozen=True)
class Metric:
    """One number that a grader gives for a sample, and how the results tables read it."""

    name: str
    unit: Literal["share", "reward", "scale"] = "share"
    """share: 0 to 1; reward: no bounds; scale: 1 to 5. Only shares get pass@k and an interval within 0 and 1."""
    lower_is_better: bool = False
    headline: bool = False
    """The one that figures show; each task has exactly one."""
    voted: bool = False
    """What a grader extracts is the answer itself, so that the samples of an item can vote: majority@k."""


ACCURACY = Metric("accuracy", headline=True)
VOTED = replace(ACCURACY, voted=True)


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
    """One kind of benchmark; `tasks.py` names the file that holds it."""

    prompt: Callable[[Item, Benchmark], str]
    """The user turn."""
    grade: "Callable[[Iterable[Sample], str, Benchmark, Tools], Iterator[list[Grade]]]"
    """For each sample, in order, its grades under one grader."""
    metrics: tuple[Metric, ...]
    """Every metric that `grade` gives; any other is refused."""
    items: Callable[[Published], Iterator[Locked]] | None = None
    """The items in published files; None where all benchmarks of this kind are generated."""
    unavailable: Callable[[], str] = _always
    """Why it cannot be graded here; empty where it can. What stands before its first colon, such as "no judge", is
    shown wherever a number would be; the remedy follows."""
    asks: str | None = None
    """Kind of the query sources whose questions it asks: it is in domain for runs that were trained on those."""

    def __post_init__(self) -> None:
        if [metric.headline for metric in self.metrics].count(True) != 1:
            raise ValueError(f"metrics {', '.join(m.name for m in self.metrics)}: mark exactly one as the headline")

    @property
    def headline(self) -> Metric:
        return next(metric for metric in self.metrics if metric.headline)


def each(grade_one: Callable[[Sample, str], list[Grade]]) -> Any:
    """A `Task.grade` from a pure function of one sample."""

    def grade(samples: Iterable[Sample], grader: str, benchmark: Benchmark, tools: "Tools") -> Iterator[list[Grade]]:
        return (grade_one(sample, grader) for sample in samples)

    return grade
