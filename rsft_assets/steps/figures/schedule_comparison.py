"""Settings of one model at equal steps: a panel for each benchmark, a point with its interval for each setting."""

import textwrap
from typing import TYPE_CHECKING, Any

from rsft_assets.steps.figures.style import (
    COLOURS,
    GREY,
    MARKERS,
    benchmark_title,
    by,
    grid_of,
    in_group_order,
    note,
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
    canvas, grid = grid_of(len(panels), most=3, width=3.4, height=1.9)
    for axes, ((model, steps, _), of) in zip(grid, panels.items(), strict=True):
        _panel(axes, of)
        benchmark_title(axes, of[0], f"{model}, {steps} steps")
    words = (
        "Each setting's score at its end; lines: 95 % intervals of the difference to the first setting, which the "
        "dotted line continues. A line that misses it is a difference beyond noise. Open points: no interval."
    )
    note(canvas, "\n".join(textwrap.wrap(words, 48 * min(3, len(panels)))))
    return canvas


def _comparable(rows: Rows) -> list[Rows]:
    groups = by(rows, "source", "model", "data_family", "total_steps", "seed", "benchmark").values()
    return [group for group in groups if len(group) > 1]


def _panel(axes: "Axes", rows: Rows) -> None:
    share_axis(axes, rows[0]["unit"], flat=True)
    labels = []
    for y, row in enumerate(rows):
        low = high = None
        if row["difference_low"] is not None and not row["is_reference"]:
            low, high = (row["value"] - row["difference"] + row[end] for end in ("difference_low", "difference_high"))
        colour = COLOURS[y % len(COLOURS)]
        whisker(axes, row["value"], -y, low, high, flat=True, color=colour, marker=MARKERS[y % len(MARKERS)])
        if row["is_reference"]:
            axes.axvline(row["value"], color=GREY, linestyle=":", linewidth=1)
        published = ", published" if row["source"] == "paper" else ""
        labels.append(f"{row['rows']:,} rows × {row['passes']:g}{published}")
    axes.set_yticks([-y for y in range(len(rows))], labels)
    axes.set_ylim(-len(rows) + 0.4, 0.6)
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")
