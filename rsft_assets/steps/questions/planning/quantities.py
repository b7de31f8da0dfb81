"""A quantity of a plan: a number with the certainty of its sources, and the lines that hold them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.rates import Basis

WORST_FIRST: tuple[Basis, ...] = ("assumed", "reference", "measured")


@dataclass(frozen=True)
class Quantity:
    """A number and the least certain of its sources."""

    value: float
    basis: Basis

    def __add__(self, other: "Quantity") -> "Quantity":
        return Quantity(self.value + other.value, weakest(self.basis, other.basis))

    def times(self, factor: float, basis: Basis = "measured") -> "Quantity":
        return Quantity(self.value * factor, weakest(self.basis, basis))


def weakest(*bases: Basis) -> Basis:
    return min(bases, key=WORST_FIRST.index)


@dataclass
class Line:
    """What one batch comes to."""

    title: str
    assets: tuple[str, ...] = ()
    first: str = ""
    last: str = ""
    refs: list[Ref] = field(default_factory=list)
    """What is outstanding of it."""
    figures: dict[str, Quantity] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)
    """Where its figures come from, in words."""
    trained: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Run -> (step it goes on from, step it ends at)."""

    def add(self, quantity: str, figure: Quantity, *sources: str) -> None:
        """Add to one quantity; nothing is added where there is nothing."""
        if figure.value:
            before = self.figures.get(quantity)
            self.figures[quantity] = before + figure if before else figure
            self.say(*sources)

    def say(self, *sources: str) -> None:
        """Note where figures come from, each sentence once."""
        self.sources += [source for source in dict.fromkeys(sources) if source and source not in self.sources]

    def as_dict(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "assets": list(self.assets),
            "from": self.first,
            "to": self.last,
            "partitions": len(self.refs),
            "trained": {run: list(steps) for run, steps in self.trained.items()},
            **{
                name: {"value": float(f"{figure.value:.6g}"), "basis": figure.basis}
                for name, figure in self.figures.items()
            },
            "sources": self.sources,
        }


def total(lines: Iterable[Line]) -> Line:
    """The sum of all lines."""
    whole = Line("total")
    for line in lines:
        whole.refs += line.refs
        for name, figure in line.figures.items():
            whole.add(name, figure)
        whole.say(*line.sources)
    return whole
