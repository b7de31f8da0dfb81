"""Loss over training steps: a panel for each model, a line for each run, dots where held-out rows were tried."""

from matplotlib.figure import Figure as Canvas

from rsft_assets.steps.figures import style
from rsft_assets.steps.figures.style import Rows, by


def draw(rows: Rows, study: str) -> Canvas | None:
    """The figure, or None where nothing was trained."""
    if not rows:
        return None
    panels = by(rows, "model")
    sets = {name: {"color": look["color"]} for name, look in style.set_looks(row["dataset"] for row in rows).items()}
    lines = {name: {"linestyle": dash} for name, dash in style.line_of([row["schedule"] for row in rows]).items()}
    canvas, grid = style.grid_of(len(panels), most=3, width=3.8, height=2.9)
    for axes, (model, of) in zip(grid, panels.items(), strict=True):
        for line in by(of, "run").values():
            look = sets[line[0]["dataset"]] | lines[line[0]["schedule"]]
            seen = [row for i, row in enumerate(line) if i % _every(line) == 0 or row is line[-1]]
            axes.plot([row["step"] for row in seen], [row["loss_smooth"] for row in seen], **look)
            held = [row for row in line if row["held_out_loss"] is not None]
            axes.plot(
                [row["step"] for row in held], [row["held_out_loss"] for row in held], color=look["color"], marker="o",
                linestyle="none", markerfacecolor="white",
            )  # fmt: skip
        axes.set_title(model, fontweight="bold")
        axes.set_xlabel("optimizer step")
        axes.set_ylabel("loss per response token")
    style.one_scale((axes, "loss") for axes in grid)
    words = {style.schedule_words(name): look for name, look in lines.items()}
    canvas.legend(*style.legend_of(sets, words), loc="outside upper center", ncols=3, handlelength=4.2)
    caption = "Lines: mean loss of ten steps, one line for each run. Open dots: loss on rows that are never trained on."
    style.note(canvas, caption, 52 * min(3, len(panels)))
    return canvas


def _every(line: Rows) -> int:
    """Of how many steps one is drawn; a step is in ten means, so none is missed."""
    return max(1, min(10, len(line) // 150))
