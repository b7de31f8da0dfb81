"""Loss, entropy and divergence from the base over training steps: panels by model, a line for each run.

Lines are means of ten steps over the raw values; dots stand where held-out rows were tried.
"""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from rsft_assets.steps.figures import style
from rsft_assets.steps.figures.style import Rows, by

MEASURES = {
    "loss per response token": ("loss", "loss_smooth", "held_out_loss"),
    "entropy, nats per token": ("entropy", "entropy_smooth", None),
    "KL to the base, nats per token": (None, None, "base_kl"),
}
"""What is drawn: every step, its smooth line, and at kept steps, on held-out rows."""


def draw(rows: Rows, study: str) -> Canvas | None:
    """The figure, or None where nothing was trained."""
    if not rows:
        return None
    panels = [
        (model, measure, of)
        for model, of in by(rows, "model").items()
        for measure, columns in MEASURES.items()
        if any(row[column] is not None for row in of for column in columns if column)
    ]
    looks = style.colour_of(sorted({row["dataset"] for row in rows})), style.line_of([row["schedule"] for row in rows])
    canvas, grid = style.grid_of(len(panels), most=3, width=3.8, height=2.9)
    shown: dict[str, Any] = {}
    for axes, (model, measure, of) in zip(grid, panels, strict=True):
        for line in by(of, "run").values():
            _line(axes, line, MEASURES[measure], looks, shown)
        axes.set_title(model, fontweight="bold")
        axes.set_xlabel("optimizer step")
        axes.set_ylabel(measure)
    canvas.legend(
        list(shown.values()), list(shown), loc="outside upper center", ncols=min(3, len(shown)), handlelength=4.2
    )
    style.note(
        canvas, "Lines: mean of ten steps over the raw values (faint). Open dots: rows that are never trained on."
    )
    return canvas


def _line(
    axes: Axes,
    rows: Rows,
    columns: tuple[str | None, str | None, str | None],
    looks: tuple[dict[str, str], dict[str, Any]],
    shown: dict[str, Any],
) -> None:
    first, (colours, dashes), (raw, smooth, held_out) = rows[0], looks, columns
    look = {"color": colours[first["dataset"]], "linestyle": dashes[first["schedule"]]}
    if raw and smooth:
        x = [row["step"] for row in rows]
        # Matplotlib leaves a gap at None: curves that were written before the measure was.
        axes.plot(x, [row[raw] for row in rows], color=look["color"], alpha=0.2, linewidth=0.8)
        (drawn,) = axes.plot(x, [row[smooth] for row in rows], **look)
        label = f"{first['dataset']}, {first['schedule']}" if len(dashes) > 1 else first["dataset"]
        shown.setdefault(label, drawn)
    if held_out:
        kept = [row for row in rows if row[held_out] is not None]
        x, y = [row["step"] for row in kept], [row[held_out] for row in kept]
        axes.plot(x, y, marker="o", markerfacecolor="white", **look | ({"linestyle": "none"} if raw else {}))
