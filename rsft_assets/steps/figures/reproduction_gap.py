"""Our scores minus the published ones: a panel for each benchmark, a point with its interval for each cell."""

from typing import Any

from matplotlib.figure import Figure as Canvas

from rsft_assets.steps.figures import style
from rsft_assets.steps.figures.style import GREY, Rows, by

CLASSES = (
    *("noise", "harness", "data", "training", "precision", "data or training", "training or precision"),
    *("data or training or precision", "no interval"),
)


def draw(rows: Rows, study: str) -> Canvas | None:
    """The figure, or None where no cell has both numbers."""
    rows = [row for row in rows if row["class"] in CLASSES]
    if not rows:
        return None
    panels = by(style.in_group_order(rows), "benchmark")
    canvas, grid = style.grid_of(len(panels), most=3, width=3.6, height=2.6)
    shown: dict[str, Any] = {}
    colours, markers = style.colour_of(CLASSES), style.marker_of(CLASSES)
    for axes, panel in zip(grid, panels.values(), strict=True):
        style.share_axis(axes, panel[0]["unit"], signed=True)
        axes.axhline(0, color=GREY, linewidth=0.9)
        for x, row in enumerate(panel):
            look = {"color": colours[row["class"]], "marker": markers[row["class"]]}
            style.whisker(axes, x, row["gap"], row["gap_low"], row["gap_high"], flat=False, **look)
            shown.setdefault(row["class"], axes.lines[-1])
        axes.set_xticks([])
        axes.set_xlabel(f"{len(panel)} checkpoints")
        style.benchmark_title(axes, panel[0])
    canvas.legend(list(shown.values()), list(shown), loc="outside upper center", ncols=min(len(shown), 3))
    caption = "Ours minus the paper's, graded as the authors' code grades. 95 % intervals hold items and, "
    style.note(canvas, f"{caption}where ours was trained here, training seeds.")
    return canvas
