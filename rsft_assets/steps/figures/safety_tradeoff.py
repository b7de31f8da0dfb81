"""Reasoning gained against safety lost: a point with two intervals for each run, thinking apart from none."""

import textwrap
from typing import TYPE_CHECKING, Any

from rsft_assets.steps.figures.style import COLOURS, GREY, by, grid_of, note, share_axis

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

Rows = list[dict[str, Any]]
LOOKS = {True: (COLOURS[1], "o", "thinking in the training data"), False: (COLOURS[0], "s", "no thinking")}


def draw(rows: Rows, study: str) -> "Canvas | None":
    """The figure, or None where no run has both a reasoning and a safety score."""
    if not rows:
        return None
    panels = by(rows, "safety_benchmark", "metric")
    canvas, grid = grid_of(len(panels), most=2, width=4.6, height=3.8)
    for axes, ((benchmark, metric), of) in zip(grid, panels.items(), strict=True):
        axes.axhline(0, color=GREY, linewidth=0.8)
        axes.axvline(0, color=GREY, linewidth=0.8)
        for row in of:
            colour, marker, label = LOOKS[bool(row["thinking"])]
            x, y = row["reasoning_gain"], row["harm"]
            axes.plot([row["reasoning_gain_low"], row["reasoning_gain_high"]], [y, y], color=colour, alpha=0.5)
            axes.plot([x, x], [row["harm_low"], row["harm_high"]], color=colour, alpha=0.5)
            axes.plot([x], [y], marker=marker, color=colour, linestyle="none", label=label)
            if row["seed"] == 1:
                words = f"{row['model']}, {row['dataset']}"
                axes.annotate(words, (x, y), xytext=(5, 4), textcoords="offset points", fontsize=7, color=GREY)
        share_axis(axes, of[0]["unit"], signed=True)
        share_axis(axes, "share", signed=True, flat=True)
        axes.set_xlabel("gain in reasoning over the base")
        axes.set_ylabel(f"harm: {benchmark}, {metric}, over the base")
        axes.margins(0.18)
        found = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        axes.legend(list(found.values()), list(found), loc="upper left")
    words = (
        "Up is worse. Crosses: 95 % intervals. Reasoning is the plain mean over the reasoning benchmarks, in domain "
        "and out; a cross that misses a line has changed beyond noise."
    )
    note(canvas, "\n".join(textwrap.wrap(words, 70 * min(2, len(panels)))))
    return canvas
