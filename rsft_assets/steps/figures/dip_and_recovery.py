"""Scores over training steps: a row of panels for each model, a panel for each benchmark, a line for each run."""

import textwrap
from typing import TYPE_CHECKING, Any

from rsft_assets.steps.figures.style import (
    GREY,
    LINES,
    benchmark_title,
    by,
    colour_of,
    in_group_order,
    marker_of,
    note,
    share_axis,
    step_axis,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

Rows = list[dict[str, Any]]


def draw(rows: Rows, study: str) -> "Canvas | None":
    """The figure, or None where no run has three scored steps."""
    import matplotlib.pyplot as plt

    rows = [row for run in by(rows, "source", "run", "benchmark").values() if len(run) >= 3 for row in run]
    if not rows:
        return None
    benchmarks, models = list(by(in_group_order(rows), "benchmark")), list(by(rows, "model"))
    # A page is taller than wide, so whichever there are more of runs downwards.
    down = len(benchmarks) > 4
    shape = (len(benchmarks), len(models)) if down else (len(models), len(benchmarks))
    size = (max(4.6, 0.6 + 2.9 * shape[1]), 0.9 + 2.4 * shape[0])
    canvas, grid = plt.subplots(*shape, figsize=size, squeeze=False, layout="constrained")
    looks, of = _Looks(rows), by(rows, "model", "benchmark")
    titles = {row["benchmark"]: row for row in rows}
    for i, model in enumerate(models):
        for j, benchmark in enumerate(benchmarks):
            axes = grid[j, i] if down else grid[i, j]
            _panel(axes, of.get((model, benchmark), []), looks)
            benchmark_title(axes, titles[benchmark], model if len(models) > 1 else "")
    for axes in grid[-1]:
        axes.set_xlabel("optimizer step")
    for axes in grid[:, 0]:
        axes.set_ylabel("score")
    canvas.legend(*looks.legend(), loc="outside upper center", ncols=min(3, len(looks.labels)))
    note(canvas, _words(rows, 44 * shape[1]))
    return canvas


class _Looks:
    """One look for each line: colour by training set, line by schedule, open markers for the paper's numbers."""

    def __init__(self, rows: Rows) -> None:
        self.colours = colour_of([row["dataset"] for row in rows])
        self.markers = marker_of([row["dataset"] for row in rows])
        schedules = list(by(rows, "schedule"))
        self.lines = {name: LINES[i % len(LINES)] for i, name in enumerate(schedules)}
        self.labels: dict[str, Any] = {}
        self.many = len(schedules) > 1

    def of(self, row: dict[str, Any]) -> dict[str, Any]:
        ours, colour = row["source"] == "ours", self.colours[row["dataset"]]
        return {
            "color": colour,
            "marker": self.markers[row["dataset"]],
            "linestyle": self.lines[row["schedule"]],
            "markerfacecolor": colour if ours else "white",
            "alpha": 1.0 if ours else 0.75,
        }

    def name(self, row: dict[str, Any]) -> str:
        schedule = f", {row['schedule']}" if self.many else ""
        return f"{row['dataset']}{schedule}{'' if row['source'] == 'ours' else ' (published)'}"

    def legend(self) -> tuple[list[Any], list[str]]:
        return list(self.labels.values()), list(self.labels)


def _panel(axes: "Axes", rows: Rows, looks: _Looks) -> None:
    if not rows:
        axes.text(0.5, 0.5, "not available", transform=axes.transAxes, ha="center", va="center", color=GREY)
        axes.set_xticks([])
        axes.set_yticks([])
        return
    places = step_axis(axes, [row["step"] for row in rows])
    share_axis(axes, rows[0]["unit"])
    for line in by(rows, "source", "run").values():
        look = looks.of(line[0])
        x = [places[row["step"]] for row in line]
        (drawn,) = axes.plot(x, [row["value"] for row in line], **look)
        looks.labels.setdefault(looks.name(line[0]), drawn)
        if all(row["low"] is not None for row in line):
            bounds = [row["low"] for row in line], [row["high"] for row in line]
            axes.fill_between(x, *bounds, color=look["color"], alpha=0.15, linewidth=0)
        for row in line:
            if row["is_dip"] and row["is_dip_beyond_noise"]:
                axes.annotate(
                    "▼", (places[row["step"]], row["value"]), xytext=(0, 12), textcoords="offset points",
                    ha="center", va="center", color=look["color"], fontsize=9, annotation_clip=False,
                )  # fmt: skip


def _words(rows: Rows, width: int) -> str:
    dips = {(r["source"], r["run"], r["benchmark"]) for r in rows if r["is_dip"] and r["is_dip_beyond_noise"]}
    lines = {(row["source"], row["run"], row["benchmark"]) for row in rows}
    words = (
        "Bands: 95 % intervals, clustered by item. ▼ over a point: the deepest fall from the best step so far, more "
        "than noise after correcting for having picked the deepest of all pairs of steps. "
        f"{len(dips)} of {len(lines)} trajectories have one."
    )
    if any(row["source"] == "paper" for row in rows):
        words += " Published: the paper's numbers, with the interval that one sample per item would give."
    return "\n".join(textwrap.wrap(words, max(60, width)))
