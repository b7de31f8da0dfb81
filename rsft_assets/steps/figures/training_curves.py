"""Loss, entropy and divergence from the base over training steps: panels by model, a line for each run.

Lines are means of ten steps; dots stand where held-out rows were tried.
"""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from rsft_assets.steps.figures import style
from rsft_assets.steps.figures.style import Rows, by

MEASURES = {
    "loss per response token": ("loss_smooth", "held_out_loss"),
    "entropy, nats per token": ("entropy_smooth", None),
    "KL to the base, nats per token": (None, "base_kl"),
}
"""What is drawn: the smooth line over every step, and the dots of kept steps, on held-out rows."""


def draw(rows: Rows, study: str) -> Canvas | None:
    """The figure, or None where nothing was trained."""
    if not rows:
        return None
    panels = [
        (model, measure, own)
        for model, own in by(rows, "model").items()
        for measure, columns in MEASURES.items()
        if any(row[column] is not None for row in own for column in columns if column)
    ]
    sets = {name: {"color": look["color"]} for name, look in style.set_looks(row["dataset"] for row in rows).items()}
    lines = {name: {"linestyle": dash} for name, dash in style.line_of([row["schedule"] for row in rows]).items()}
    canvas, grid = style.grid_of(len(panels), most=3, width=3.8, height=2.9)
    for axes, (model, measure, own) in zip(grid, panels, strict=True):
        for line in by(own, "run").values():
            _line(axes, line, *MEASURES[measure], sets[line[0]["dataset"]] | lines[line[0]["schedule"]])
        axes.set_title(model, fontweight="bold")
        axes.set_xlabel("optimizer step")
        axes.set_ylabel(measure)
    style.one_scale((axes, measure) for axes, (_, measure, _) in zip(grid, panels, strict=True))
    canvas.legend(*style.legend_of(sets, lines), loc="outside upper center", ncols=3, handlelength=4.2)
    caption = "Lines: mean of ten steps, one line for each run. Open dots: rows that are never trained on."
    style.note(canvas, caption, 52 * min(3, len(panels)))
    return canvas


def _line(axes: Axes, rows: Rows, smooth: str | None, held_out: str | None, look: dict[str, Any]) -> None:
    if smooth:
        seen = [row for i, row in enumerate(rows) if i % _every(rows) == 0 or row is rows[-1]]
        # Matplotlib leaves a gap at None: curves that were written before the measure was.
        axes.plot([row["step"] for row in seen], [row[smooth] for row in seen], **look)
    if held_out:
        kept = [row for row in rows if row[held_out] is not None]
        points = look | {"marker": "o", "markerfacecolor": "white"} | ({"linestyle": "none"} if smooth else {})
        axes.plot([row["step"] for row in kept], [row[held_out] for row in kept], **points)


def _every(line: Rows) -> int:
    """Of how many steps one is drawn; a step is in ten means, so none is missed."""
    return max(1, min(10, len(line) // 150))
