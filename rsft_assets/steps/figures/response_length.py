"""Mean answer length over training steps: bars split by how the answers ended, one row of panels for each run."""

import textwrap
from typing import TYPE_CHECKING, Any

from rsft_assets.steps.figures.style import (
    COLOURS,
    FAINT,
    GREY,
    benchmark_title,
    by,
    grid_of,
    in_group_order,
    note,
    step_axis,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

Rows = list[dict[str, Any]]
PARTS = (
    ("growth_real", "settled answers", COLOURS[0]),
    ("growth_no_end_token", "no end token", COLOURS[5]),
    ("growth_loops", "loops", COLOURS[1]),
    ("growth_cut", "cut by the limit", COLOURS[3]),
)
MOST_RUNS = 8


def draw(rows: Rows, study: str) -> "Canvas | None":
    """The figure, or None where nothing was scored."""
    rows = in_group_order([row for row in rows if row["growth"] is not None])
    runs = list(by(rows, "run"))[:MOST_RUNS]
    panels = [(run, benchmark) for run in runs for benchmark in by(rows, "benchmark")]
    of = by(rows, "run", "benchmark")
    panels = [panel for panel in panels if panel in of]
    if not panels:
        return None
    across = len({benchmark for _, benchmark in panels})
    canvas, grid = grid_of(len(panels), most=min(across, 5))
    for axes, panel in zip(grid, panels, strict=True):
        _panel(axes, of[panel])
    handles, labels = grid[0].get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside upper center", ncols=3)
    note(canvas, "\n".join(textwrap.wrap(_words(len(by(rows, "run"))), 46 * min(across, 5))))
    return canvas


def _panel(axes: "Axes", rows: Rows) -> None:
    places = step_axis(axes, [row["step"] for row in rows])
    x = [places[row["step"]] for row in rows]
    base = rows[0]["base_mean_tokens"]
    axes.axhline(base, color=GREY, linewidth=0.8, linestyle="--")
    up, down = [base] * len(rows), [base] * len(rows)
    for column, label, colour in PARTS:
        for i, row in enumerate(rows):
            part = row[column]
            start = up if part >= 0 else down
            axes.bar(x[i], part, bottom=start[i], color=colour, width=0.72, label=label if i == 0 else None)
            start[i] += part
    axes.plot(
        x,
        [row["mean_tokens"] for row in rows],
        color="black",
        marker="o",
        markersize=3,
        linewidth=1,
        label="mean length",
    )
    axes.set_ylim(bottom=0)
    axes.set_ylabel("tokens per answer")
    axes.set_facecolor("white")
    axes.grid(color=FAINT)
    benchmark_title(axes, rows[0], f"{rows[0]['model']}, {rows[0]['dataset']}")


def _words(runs: int) -> str:
    words = (
        "Bars: growth over the base (dashed), split by how the answers ended; bars below the line are shrinkage. "
        "Only the first colour is real growth: the others are answers that did not stop."
    )
    return words + (f" The first {MOST_RUNS} of {runs} runs." if runs > MOST_RUNS else "")
