"""Settings of one model at equal steps: a panel for each benchmark, a point with its interval for each setting."""

import textwrap
from typing import TYPE_CHECKING, Any

from rsft_assets.steps.figures.style import (
    COLOURS,
    GREY,
    MARKERS,
    benchmark_title,
    by,
    by_arm,
    grid_of,
    in_group_order,
    note,
    seed_point,
    seed_words,
    share_axis,
    whisker,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

Rows = list[dict[str, Any]]


def draw(rows: Rows, study: str) -> "Canvas | None":
    """The figure, or None where no two settings can be compared."""
    rows = [row for group in _comparable(rows) for row in group]
    if not rows:
        return None
    panels = by(in_group_order(rows), "model", "total_steps", "benchmark")
    tall = max(len(by_arm(of)) for of in panels.values())
    canvas, grid = grid_of(len(panels), most=3, width=3.8, height=0.8 + 0.35 * tall)
    several = len({(model, steps) for model, steps, _ in panels}) > 1
    for axes, ((model, steps, _), of) in zip(grid, panels.items(), strict=True):
        _panel(axes, of)
        benchmark_title(axes, of[0], f"{model}, {steps} steps" if several else "")
    words = (
        f"{_which(rows)}. Each setting's score at its end; lines: 95 % intervals of the difference to the first "
        "setting, which the dotted line continues. A line that misses it is a difference beyond noise. "
        "Open points: the first setting itself, or no interval."
    )
    words += seed_words(rows)
    words += " * published by the paper." if any(row["source"] == "paper" for row in rows) else ""
    note(canvas, "\n".join(textwrap.wrap(words, 48 * min(3, len(panels)))))
    return canvas


def _which(rows: Rows) -> str:
    return "; ".join(f"{model} at {steps} steps" for model, steps in by(rows, "model", "total_steps"))


def _comparable(rows: Rows) -> list[Rows]:
    groups = by(rows, "source", "model", "data_family", "total_steps", "benchmark").values()
    return [group for group in groups if len(by_arm(group)) > 1]


def _panel(axes: "Axes", rows: Rows) -> None:
    share_axis(axes, rows[0]["unit"], flat=True)
    arms = list(by_arm(rows).values())
    for y, arm in enumerate(arms):
        # The seeds that both settings have are compared; another seed says nothing of the difference.
        row = next((one for one in arm if one["arm_difference_low"] is not None), arm[0])
        colour, marker = COLOURS[y % len(COLOURS)], MARKERS[y % len(MARKERS)]
        low = high = None
        if row["arm_difference_low"] is not None and not row["is_reference"]:
            ends = ("arm_difference_low", "arm_difference_high")
            low, high = (row["seed_mean"] - row["arm_difference"] + row[end] for end in ends)
        for seed in arm if len(arm) > 1 else []:
            seed_point(axes, seed["value"], -y, colour)
        whisker(axes, row["seed_mean"], -y, low, high, flat=True, color=colour, marker=marker)
        if row["is_reference"]:
            axes.axvline(row["seed_mean"], color=GREY, linestyle=":", linewidth=1)
    axes.set_yticks([-y for y in range(len(arms))], _labels([arm[0] for arm in arms]))
    axes.set_ylim(-len(arms) + 0.4, 0.6)
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")


def _labels(rows: Rows) -> list[str]:
    """Rows and passes; the learning rate too where that does not tell all settings apart."""
    labels = [f"{row['rows']:,} rows × {row['passes']:g}" for row in rows]
    if len(set(labels)) < len(labels):
        labels = [f"{words}, {row['lr']:g} {row['decay']}" for words, row in zip(labels, rows, strict=True)]
    return [words + ("*" if row["source"] == "paper" else "") for words, row in zip(labels, rows, strict=True)]
