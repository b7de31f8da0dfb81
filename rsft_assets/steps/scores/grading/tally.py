"""From graded samples to a benchmark's scores: one row per grader, metric and category."""

import statistics
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rsft_assets.steps.scores.grading.intervals import Cluster, estimate

ALL = "all"


@dataclass
class Cell:
    """What is kept of the samples of one grader, metric and category: a few numbers an item."""

    sums: dict[str, list[float]] = field(default_factory=dict)
    """item -> [sum of values, samples, best value, weight]"""
    tokens: "array[int]" = field(default_factory=lambda: array("q"))
    undecided: int = 0
    not_run: int = 0
    truncated: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, row: dict[str, Any]) -> None:
        self.tokens.append(row["response_tokens"])
        self.truncated += row["truncated"]
        if row["state"] == "scored":
            entry = self.sums.setdefault(row["item_id"], [0.0, 0, 0.0, row.get("weight", 1.0)])
            entry[0] += row["value"]
            entry[1] += 1
            entry[2] = max(entry[2], row["value"])
        else:
            self.undecided += row["state"] == "undecided"
            self.not_run += row["state"] == "not-run"
            self.reasons[row["reason"]] += 1

    def row(self, *, share: bool) -> dict[str, Any]:
        numbers = {
            "items": len(self.sums),
            "samples": sum(int(entry[1]) for entry in self.sums.values()),
            "undecided": self.undecided,
            "not_run": self.not_run,
            "truncated": self.truncated,
            **_lengths(self.tokens),
        }
        if not self.sums:
            state = "undecided" if self.undecided > self.not_run else "not-run"
            return {**numbers, "state": state, "reason": self._why()}
        estimated = estimate([Cluster(e[0] / e[1], int(e[1]), e[3]) for e in self.sums.values()], share=share)
        solved = statistics.fmean(entry[2] >= 1 for entry in self.sums.values())
        return {
            **numbers,
            "state": "scored",
            "reason": "",
            "value": estimated.value,
            "low": estimated.low,
            "high": estimated.high,
            "pass_at_k": solved if share else None,
        }

    def _why(self) -> str:
        most = self.reasons.most_common(1)
        return f"{most[0][0]} ({most[0][1]} of {len(self.tokens)} samples)" if most else "no sample"


@dataclass
class Tally:
    """All cells of one benchmark."""

    unbounded: frozenset[str] = frozenset()
    """Metrics that are no shares, such as a reward."""
    cells: dict[tuple[str, str, str], Cell] = field(default_factory=dict)

    def add(self, row: dict[str, Any]) -> None:
        """Count one row of graded.parquet."""
        for category in (ALL, row["category"]):
            if category is not None:
                self.cells.setdefault((row["grader"], row["metric"], category), Cell()).add(row)

    def rows(self) -> list[dict[str, Any]]:
        """Rows of scores.parquet; categories are left out where there is only one."""
        named = {category for _, _, category in self.cells} - {ALL}
        return [
            {"grader": grader, "metric": metric, "category": category, **_EMPTY, **cell.row(share=share)}
            for (grader, metric, category), cell in self.cells.items()
            for share in [metric not in self.unbounded]
            if category == ALL or len(named) > 1
        ]


_EMPTY: dict[str, Any] = {
    **dict.fromkeys(("value", "low", "high", "pass_at_k", "mean_tokens", "median_tokens", "p90_tokens")),
    **dict.fromkeys(("items", "samples", "undecided", "not_run", "truncated"), 0),
}


def unscored_rows(graders: Iterable[str], metrics: Iterable[str], state: str, reason: str) -> list[dict[str, Any]]:
    """Scores of a benchmark that could not be had: a state and a reason, and no number anywhere."""
    metrics = tuple(metrics)
    return [
        {"grader": grader, "metric": metric, "category": ALL, "state": state, "reason": reason, **_EMPTY}
        for grader in graders
        for metric in metrics
    ]


def _lengths(tokens: "array[int]") -> dict[str, float | None]:
    if not tokens:
        return {"mean_tokens": None, "median_tokens": None, "p90_tokens": None}
    ordered = sorted(tokens)
    return {
        "mean_tokens": statistics.fmean(ordered),
        "median_tokens": float(statistics.median(ordered)),
        "p90_tokens": float(ordered[min(len(ordered) - 1, round(0.9 * (len(ordered) - 1)))]),
    }
