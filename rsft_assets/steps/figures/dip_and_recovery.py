"""Scores over training steps: a row of panels for each model, a panel for each benchmark, a line for each run."""

from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from rsft_assets.steps.figures import style
from rsft_assets.steps.figures.style import GREY, Rows, by, by_arm

MOST_ARMS = 3
"""Arms that one panel can hold; a model with more gets a row of panels for each."""
MOST_LANES = 16


def draw(rows: Rows, study: str) -> Canvas | None:
    """The figure, or None where no run has three scored steps."""
    rows = [row for run in by(rows, "source", "run", "benchmark").values() if len(run) >= 3 for row in run]
    if not rows:
        return None
    benchmarks, lanes = list(by(style.in_group_order(rows), "benchmark")), _lanes(rows)
    shown = lanes[:MOST_LANES]
    # A page is taller than wide, so whichever there are many of runs downwards.
    down = len(benchmarks) > max(4, len(shown))
    shape = (len(benchmarks), len(shown)) if down else (len(shown), len(benchmarks))
    size = (max(4.6, 0.6 + 2.9 * shape[1]), 0.9 + 2.4 * shape[0])
    canvas, grid = plt.subplots(*shape, figsize=size, squeeze=False, layout="constrained")
    looks = _Looks(rows)
    titles = {row["benchmark"]: row for row in rows}
    for i, (lane, of_lane) in enumerate(shown):
        rows_of_benchmark = by(of_lane, "benchmark")
        for j, benchmark in enumerate(benchmarks):
            axes = grid[j, i] if down else grid[i, j]
            _panel(axes, rows_of_benchmark.get(benchmark, []), looks)
            style.benchmark_title(axes, titles[benchmark], lane if len(lanes) > 1 else "")
    for axes in grid[-1]:
        axes.set_xlabel("optimizer step")
    for axes in grid[:, 0]:
        axes.set_ylabel("score")
    canvas.legend(*looks.legend(), loc="outside upper center", ncols=max(1, min(shape[1], len(looks.labels))))
    left_out = f" The first {MOST_LANES} of {len(lanes)} rows of panels." if len(lanes) > MOST_LANES else ""
    style.note(canvas, _words(rows) + left_out, max(60, 44 * shape[1]))
    return canvas


def _lanes(rows: Rows) -> list[tuple[str, Rows]]:
    """What shares panels: a model's arms where they are few, else each arm by itself."""
    lanes = []
    for model, of in by(rows, "model").items():
        arms = by(of, "dataset", "schedule")
        if len(arms) <= MOST_ARMS:
            lanes.append((model, of))
            continue
        several = len({schedule for _, schedule in arms}) > 1
        for (dataset, schedule), own in arms.items():
            lanes.append((f"{model}, {dataset}" + (f"\n{schedule}" if several else ""), own))
    return lanes


class _Looks:
    """One look for each line: colour by training set, line by schedule, open markers for the paper's numbers."""

    def __init__(self, rows: Rows) -> None:
        self.colours = style.colour_of([row["dataset"] for row in rows])
        self.markers = style.marker_of([row["dataset"] for row in rows])
        self.lines = style.line_of([row["schedule"] for row in rows])
        self.labels: dict[str, Any] = {}
        self.many = len(self.lines) > 1

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


def _panel(axes: Axes, rows: Rows, looks: _Looks) -> None:
    if not rows:
        axes.text(0.5, 0.5, "not available", transform=axes.transAxes, ha="center", va="center", color=GREY)
        axes.set_xticks([])
        axes.set_yticks([])
        return
    places = style.step_axis(axes, [row["step"] for row in rows])
    style.share_axis(axes, rows[0]["unit"])
    for arm in by_arm(rows).values():
        look = looks.of(arm[0])
        lines = list(by(arm, "run").values())
        for line in lines if len(lines) > 1 else ():
            x = [places[row["step"]] for row in line]
            axes.plot(x, [row["value"] for row in line], color=look["color"], linewidth=0.7, alpha=0.45)
        mean = max(lines, key=len)
        value, low, high = ("arm_value", "arm_low", "arm_high") if len(lines) > 1 else ("value", "low", "high")
        x = [places[row["step"]] for row in mean]
        (drawn,) = axes.plot(x, [row[value] for row in mean], **look)
        looks.labels.setdefault(looks.name(arm[0]), drawn)
        if all(row[low] is not None for row in mean):
            bounds = [row[low] for row in mean], [row[high] for row in mean]
            axes.fill_between(x, *bounds, color=look["color"], alpha=0.15, linewidth=0)
        for row in mean:
            if row["is_valley"]:
                style.mark_dip(axes, places[row["step"]], row[value], look["color"])


def _words(rows: Rows) -> str:
    valleys = by([row for row in rows if row["is_valley"]], "source", "model", "dataset", "schedule", "benchmark")
    arms = by(rows, "source", "model", "dataset", "schedule", "benchmark")
    caption = (
        "Bands: 95 % intervals, clustered by item. ▼ over a point: the step to which an arm's mean over its training "
        "seeds falls and from which it rises again, both more than noise after correcting for having picked the steps "
        "(max-T) and for the number of arms and benchmarks (Holm). "
        f"{len(valleys)} of {len(arms)} arm-benchmark pairs {'has' if len(valleys) == 1 else 'have'} one."
    )
    if any(row["seeds"] > 1 for row in rows):
        caption += " Thin lines: training seeds; thick: their mean, with the interval for items and seeds both."
    if any(row["source"] == "paper" for row in rows):
        caption += " Published: the paper's numbers, with the interval that one sample per item would give."
    return caption
