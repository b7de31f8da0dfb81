"""Mean answer length over training steps: a column for each benchmark, a row for each arm, bars split by their ends."""

from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from rsft_assets.steps.figures import style
from rsft_assets.steps.figures.style import FAINT, GREY, TINTS, Rows, by

PARTS = (
    ("growth_real", "settled answers", TINTS[0]),
    ("growth_no_end_token", "no end token", TINTS[5]),
    ("growth_loops", "loops", TINTS[1]),
    ("growth_cut", "cut by the limit", TINTS[3]),
)
MEAN: dict[str, Any] = {"color": "black", "marker": "o", "markersize": 2.5, "linewidth": 0.9, "label": "mean length"}
MOST_ARMS = 16
REASONING = ("in-domain", "ood-reasoning")


def draw(rows: Rows, study: str) -> Canvas | None:
    """The figure, or None where no reasoning benchmark was scored."""
    rows = style.in_group_order(
        [row for row in rows if row["growth"] is not None and row["benchmark_group"] in REASONING]
    )
    if not rows:
        return None
    columns = by(rows, "benchmark")
    arms = by(sorted(rows, key=lambda row: (row["model"], not row["thinking"])), "model", "dataset", "schedule")
    shown = dict(list(arms.items())[:MOST_ARMS])
    size = (1.9 + 2.1 * len(columns), 1.1 + 1.25 * len(shown))
    canvas, grid = plt.subplots(
        len(shown), len(columns), figsize=size, squeeze=False, sharex=True, sharey=True, layout="constrained"
    )
    places = style.step_axis(grid[0][0], [row["step"] for row in rows])
    tops = [
        _panel(axes, [row for row in arm if row["benchmark"] == name], places)
        for panels, arm in zip(grid, shown.values(), strict=True)
        for axes, name in zip(panels, columns, strict=True)
    ]
    grid[0][0].set_ylim(0, 1.06 * max(tops))
    _label(grid, columns, list(shown), places)
    handles = [*(Patch(color=colour, label=label) for _, label, colour in PARTS), Line2D([], [], **MEAN)]
    canvas.legend(handles=handles, loc="outside upper center", ncols=5 if len(columns) > 2 else 3)
    style.note(canvas, _words(len(arms), rows), 30 + 32 * len(columns))
    return canvas


def _label(grid: Any, columns: dict[str, Rows], arms: list[tuple[str, ...]], places: dict[int, int]) -> None:
    """Names on the outer panels only."""
    for axes, column in zip(grid[0], columns.values(), strict=True):
        group = style.GROUP_TITLES[column[0]["benchmark_group"]]
        axes.set_title(column[0]["title"] or column[0]["benchmark"], fontweight="bold", pad=14)
        axes.text(0.5, 1.04, group, transform=axes.transAxes, ha="center", fontsize=8, color=GREY)
    for axes in grid[-1]:
        style.step_axis(axes, list(places))
        axes.set_xlim(-0.6, len(places) - 0.4)
        axes.set_xlabel("optimizer step")
    for axes, arm in zip(grid[:, 0], arms, strict=True):
        model, dataset, schedule = arm
        label = "\n".join((model, style.title_of(dataset), style.in_lines(schedule)))
        axes.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8)


def _means(rows: Rows) -> Rows:
    """One row a step: the mean over the training seeds that reached it."""
    names = [column for column, _, _ in PARTS]
    means = []
    for _, seeds in sorted(by(rows, "step").items()):
        means.append({**seeds[0], **{name: sum(row[name] for row in seeds) / len(seeds) for name in names}})
    return means


def _panel(axes: Axes, rows: Rows, places: dict[int, int]) -> float:
    """Draw one arm on one benchmark; the highest that it reaches."""
    axes.grid(color=FAINT)
    if not rows:
        axes.text(0.5, 0.5, "not scored", transform=axes.transAxes, ha="center", va="center", color=GREY, fontsize=8)
        return 1.0
    means = _means(rows)
    x = [places[row["step"]] for row in means]
    base = means[0]["base_mean_tokens"]
    axes.axhline(base, color=GREY, linewidth=0.8, linestyle="--")
    up, down = [base] * len(means), [base] * len(means)
    for column, _, colour in PARTS:
        for i, part in ((i, row[column]) for i, row in enumerate(means) if row[column]):
            start = up if part >= 0 else down
            axes.bar(x[i], part, bottom=start[i], color=colour, width=0.72)
            start[i] += part
    lengths = [row["arm_mean_tokens"] for row in means]
    axes.plot(x, lengths, **MEAN)
    for at, row in zip(x, means, strict=True):
        if row["arm_growth_low"] is not None:
            ends = [row["arm_mean_tokens"] + row[f"arm_growth_{end}"] - row["arm_growth"] for end in ("low", "high")]
            axes.plot([at, at], ends, color="black", linewidth=0.9)
            up.append(ends[1])
    return float(max(up))


def _words(arms: int, rows: Rows) -> str:
    caption = (
        "Tokens per answer on reasoning benchmarks. Bars: growth over the base (dashed), split by how the answers "
        "ended; bars below the line are shrinkage. Only the first colour is real growth: the others are answers that "
        "did not stop. Black lines: 95 % intervals of the growth, clustered by item."
    )
    if any(row["seeds"] > 1 for row in rows):
        caption += (
            " Where there are several training seeds, all is their mean, and the intervals hold their spread too."
        )
    return caption + (f" The first {MOST_ARMS} of {arms} arms." if arms > MOST_ARMS else "")
