"""Our scores minus the published ones: a panel for each benchmark, a point with its interval for each cell."""

from typing import Any

from matplotlib.figure import Figure as Canvas

from rsft_assets.steps.figures import style
from rsft_assets.steps.figures.style import COLOURS, GREY, MARKERS, Rows, by

CLASSES = ("noise", "harness", "training", "data or training", "no interval")


def draw(rows: Rows, study: str) -> Canvas | None:
    """The figure, or None where no cell has both numbers."""
    rows = [row for row in rows if row["class"] in CLASSES]
    if not rows:
        return None
    panels = by(style.in_group_order(rows), "benchmark")
    canvas, grid = style.grid_of(len(panels), most=3, width=3.6, height=2.6)
    shown: dict[str, Any] = {}
    for axes, of in zip(grid, panels.values(), strict=True):
        style.share_axis(axes, of[0]["unit"], signed=True)
        axes.axhline(0, color=GREY, linewidth=0.9)
        for x, row in enumerate(of):
            place = CLASSES.index(row["class"])
            look = {"color": COLOURS[place], "marker": MARKERS[place]}
            style.whisker(axes, x, row["gap"], row["gap_low"], row["gap_high"], flat=False, **look)
            shown.setdefault(row["class"], axes.lines[-1])
        axes.set_xticks([])
        axes.set_xlabel(f"{len(of)} checkpoints")
        style.benchmark_title(axes, of[0])
    canvas.legend(list(shown.values()), list(shown), loc="outside upper center", ncols=len(shown))
    style.note(canvas, "Ours minus the paper's, graded as the authors' code grades, with 95 % intervals.")
    return canvas
