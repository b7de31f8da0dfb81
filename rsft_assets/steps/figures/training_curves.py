"""Loss over training steps: a panel for each model, a line for each run, dots where held-out rows were tried."""

from typing import Any

from matplotlib.figure import Figure as Canvas

from rsft_assets.steps.figures import style
from rsft_assets.steps.figures.style import Rows, by


def draw(rows: Rows, study: str) -> Canvas | None:
    """The figure, or None where nothing was trained."""
    if not rows:
        return None
    panels = by(rows, "model")
    colours = style.colour_of(sorted({row["dataset"] for row in rows}))
    dashes = style.line_of([row["schedule"] for row in rows])
    canvas, grid = style.grid_of(len(panels), most=3, width=3.8, height=2.9)
    shown: dict[str, Any] = {}
    for axes, (model, of) in zip(grid, panels.items(), strict=True):
        for line in by(of, "run").values():
            first = line[0]
            colour = colours[first["dataset"]]
            x = [row["step"] for row in line]
            axes.plot(x, [row["loss"] for row in line], color=colour, alpha=0.2, linewidth=0.8)
            (drawn,) = axes.plot(
                x, [row["loss_smooth"] for row in line], color=colour, linestyle=dashes[first["schedule"]]
            )
            held = [row for row in line if row["held_out_loss"] is not None]
            axes.plot(
                [row["step"] for row in held], [row["held_out_loss"] for row in held], color=colour, marker="o",
                linestyle="none", markerfacecolor="white",
            )  # fmt: skip
            label = f"{first['dataset']}, {first['schedule']}" if len(dashes) > 1 else first["dataset"]
            shown.setdefault(label, drawn)
        axes.set_title(model, fontweight="bold")
        axes.set_xlabel("optimizer step")
        axes.set_ylabel("loss per response token")
    canvas.legend(
        list(shown.values()), list(shown), loc="outside upper center", ncols=min(3, len(shown)), handlelength=4.2
    )
    style.note(canvas, "Lines: mean of ten steps over the raw loss (faint). Open dots: rows that are never trained on.")
    return canvas
