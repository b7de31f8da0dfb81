"""Reasoning gained against safety lost: a panel for each model, a point with two intervals for each training set."""

import textwrap
from typing import TYPE_CHECKING, Any

from rsft_assets.steps.figures.style import (
    GREY,
    by,
    by_arm,
    colour_of,
    grid_of,
    note,
    seed_point,
    seed_words,
    share_axis,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

Rows = list[dict[str, Any]]
MARKERS = {True: "o", False: "s"}
"""Thinking in the training data, or none."""


def draw(rows: Rows, study: str) -> "Canvas | None":
    """The figure, or None where no run has both a reasoning and a safety score."""
    from matplotlib.lines import Line2D

    if not rows:
        return None
    panels = by(rows, "safety_benchmark", "metric", "model")
    names = sorted({(not row["thinking"], _name(row, rows)) for row in rows})
    colours = colour_of([name for _, name in names])
    across = min(3, len(panels))
    canvas, grid = grid_of(len(panels), most=3, width=3.8, height=3.2)
    for axes, ((benchmark, metric, model), of) in zip(grid, panels.items(), strict=True):
        _panel(axes, of, {id(row): colours[_name(row, rows)] for row in of})
        share_axis(axes, of[0]["unit"], signed=True)
        share_axis(axes, "share", signed=True, flat=True)
        axes.set_title(f"{model}{', published' if of[0]['source'] == 'paper' else ''}", fontweight="bold")
        axes.set_xlabel("gain in reasoning over the base")
        axes.set_ylabel(f"harm: {'fall' if of[0]['is_fall'] else 'rise'} of {metric},\n{benchmark}")
    handles = [
        Line2D([], [], color=colours[name], marker=MARKERS[not plain], linestyle="none", label=name)
        for plain, name in names
    ]
    canvas.legend(handles=handles, loc="outside upper center", ncols=max(1, min(2 * across, 3, len(handles))))
    words = (
        "Up is worse, right is better. Circles: thinking in the training data; squares: none. Crosses: 95 % intervals. "
        "Reasoning is the plain mean over the reasoning benchmarks, in domain and out; a cross that misses a line has "
        "changed beyond noise."
    )
    note(canvas, "\n".join(textwrap.wrap(words + seed_words(rows), max(60, 52 * across))))
    return canvas


def _name(row: dict[str, Any], rows: Rows) -> str:
    """The training set, and the schedule where there are several."""
    return f"{row['dataset']}, {row['schedule']}" if len({one["schedule"] for one in rows}) > 1 else row["dataset"]


def _panel(axes: "Axes", rows: Rows, colours: dict[int, str]) -> None:
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.axvline(0, color=GREY, linewidth=0.8)
    for arm in by_arm(rows).values():
        row, colour = arm[0], colours[id(arm[0])]
        for seed in arm if len(arm) > 1 else []:
            seed_point(axes, seed["reasoning_gain"], seed["harm"], colour)
        x, y = row["arm_reasoning_gain"], row["arm_harm"]
        axes.plot([row["arm_reasoning_gain_low"], row["arm_reasoning_gain_high"]], [y, y], color=colour, alpha=0.5)
        axes.plot([x, x], [row["arm_harm_low"], row["arm_harm_high"]], color=colour, alpha=0.5)
        axes.plot([x], [y], marker=MARKERS[bool(row["thinking"])], color=colour, linestyle="none")
    axes.margins(0.12)
