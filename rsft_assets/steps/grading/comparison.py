"""Two checkpoints on the same items: the difference of their scores with a paired 95 % interval.

    compare(score_a.folder / "graded.parquet", score_b.folder / "graded.parquet", grader="strict", metric="accuracy")

Only items that both have scored count; the difference is taken item by item, so that what makes an item hard for both
cancels out.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rsft_assets.specs.errors import StepError
from rsft_assets.steps.grading.intervals import t_quantile


@dataclass(frozen=True)
class ItemScore:
    """One item under one grader and metric: mean over its scored samples, and its weight."""

    mean: float
    weight: float = 1.0


@dataclass(frozen=True)
class Comparison:
    """B minus A."""

    difference: float
    low: float
    high: float
    items: int
    better: int
    """Items on which B is better."""
    worse: int
    only_a: int
    """Items that only A has scored; they are left out."""
    only_b: int


def compare(first: Path, second: Path, *, grader: str, metric: str) -> Comparison:
    """The difference of two graded files, second minus first."""
    return paired(item_scores(first, grader, metric), item_scores(second, grader, metric))


def item_scores(graded: Path, grader: str, metric: str) -> dict[str, ItemScore]:
    """Scored items of a graded file, read a batch at a time."""
    from rsft_assets.steps.records.rows import read_rows

    sums: dict[str, list[float]] = {}
    for row in read_rows(graded, ["item_id", "grader", "metric", "state", "value", "weight"]):
        if (row["grader"], row["metric"], row["state"]) == (grader, metric, "scored"):
            entry = sums.setdefault(row["item_id"], [0.0, 0.0, row["weight"]])
            entry[0] += row["value"]
            entry[1] += 1
    if not sums:
        raise StepError(f"{graded}: no item is scored by {grader} in {metric}")
    return {item: ItemScore(total / count, weight) for item, (total, count, weight) in sums.items()}


def paired(first: Mapping[str, ItemScore], second: Mapping[str, ItemScore]) -> Comparison:
    """Weighted mean of the differences on common items.

    Where all values lie in [0, 1], half an item won and half an item lost are added to the scatter (after Agresti and
    Min), so that two checkpoints that never differed are not taken for certainly equal.
    """
    common = sorted(first.keys() & second.keys())
    if not common:
        raise StepError("the two scores have no scored item in common; compare scores of the same benchmark")
    weights = [first[item].weight for item in common]
    differences = [second[item].mean - first[item].mean for item in common]
    total = sum(weights)
    value = sum(w * d for w, d in zip(weights, differences, strict=True)) / total
    scatter = sum((w * (d - value)) ** 2 for w, d in zip(weights, differences, strict=True))
    n = len(common)
    bounded = all(0 <= side[item].mean <= 1 for side in (first, second) for item in common)
    if bounded:
        scatter += (total / n) ** 2
    half = t_quantile(max(n - 1, 1)) * math.sqrt(scatter * n / max(n - 1, 1)) / total
    low, high = value - half, value + half
    if bounded:
        low, high = max(low, -1.0), min(high, 1.0)
    return Comparison(
        difference=value,
        low=low,
        high=high,
        items=n,
        better=sum(d > 0 for d in differences),
        worse=sum(d < 0 for d in differences),
        only_a=len(first.keys() - second.keys()),
        only_b=len(second.keys() - first.keys()),
    )
