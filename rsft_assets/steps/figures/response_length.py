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
MOST_ARMS = 12


def draw(rows: Rows, study: str) -> "Canvas | None":
    """The figure, or None where nothing was scored."""
    rows = in_group_order([row for row in rows if row["growth"] is not None])
    of = by(rows, "model", "dataset", "schedule", "benchmark")
    arms = list(by(rows, "model", "dataset", "schedule"))
    panels = [(*arm, name) for arm in arms[:MOST_ARMS] for name in by(rows, "benchmark") if (*arm, name) in of]
    if not panels:
        return None
    across = min(5, len(by(rows, "benchmark")))
    canvas, grid = grid_of(len(panels), most=across)
    several = len(by(rows, "schedule")) > 1
    for axes, panel in zip(grid, panels, strict=True):
        _panel(axes, _means(of[panel]), several=several)
    for axes in grid[-across:]:
        axes.set_xlabel("optimizer step")
    for axes in grid[::across]:
        axes.set_ylabel("tokens per answer")
    handles, labels = grid[0].get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside upper center", ncols=3)
    note(canvas, "\n".join(textwrap.wrap(_words(len(arms), rows), 46 * across)))
    return canvas


def _means(rows: Rows) -> Rows:
    """One row a step: the mean over the training seeds that reached it."""
    names = ("mean_tokens", "base_mean_tokens", "growth_low", "growth_high", *(column for column, _, _ in PARTS))
    means = []
    for step, of in sorted(by(rows, "step").items()):
        known = {name: [row[name] for row in of if row[name] is not None] for name in names}
        means.append({**of[0], "step": step, **{n: sum(v) / len(v) if v else None for n, v in known.items()}})
    return means


def _panel(axes: "Axes", rows: Rows, *, several: bool) -> None:
    places = step_axis(axes, [row["step"] for row in rows])
    axes.set_xlim(-0.6, len(places) - 0.4)
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
    axes.plot(x, [row["mean_tokens"] for row in rows], color="black", marker="o", markersize=3, linewidth=1,
              label="mean length")  # fmt: skip
    for at, row in zip(x, rows, strict=True):
        if row["growth_low"] is not None:
            ends = [base + row["growth_low"], base + row["growth_high"]]
            axes.plot([at, at], ends, color="black", linewidth=1)
            up.append(ends[1])
    axes.set_ylim(0, 1.08 * max(up))
    axes.set_facecolor("white")
    axes.grid(color=FAINT)
    row = rows[0]
    benchmark_title(axes, row, f"{row['model']}, {row['dataset']}" + (f"\n{row['schedule']}" if several else ""))


def _words(arms: int, rows: Rows) -> str:
    words = (
        "Bars: growth over the base (dashed), split by how the answers ended; bars below the line are shrinkage. "
        "Only the first colour is real growth: the others are answers that did not stop. Black lines: 95 % intervals "
        "of the growth, clustered by item."
    )
    if any(row["seed"] > 1 for row in rows):
        words += " Where there are several training seeds, all of it is their mean."
    return words + (f" The first {MOST_ARMS} of {arms} arms." if arms > MOST_ARMS else "")
