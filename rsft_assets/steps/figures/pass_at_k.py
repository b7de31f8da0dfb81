"""What k samples are worth, before and after training: a panel for each model and benchmark, a line for each run."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from rsft_assets.steps.figures import style
from rsft_assets.steps.figures.style import GREY, LINES, Rows, by

BASE = "untrained model"
RULES = {"pass": "pass@k", "majority": "majority@k"}


def draw(rows: Rows, study: str) -> Canvas | None:
    """The figure, or None where no benchmark has several samples of an item."""
    every = by(style.in_group_order(rows), "model", "benchmark")
    panels = {key: panel for key, panel in every.items() if _several(panel)}
    if not panels:
        return None
    shown = [row for panel in panels.values() for row in panel]
    sets = style.set_looks(row["dataset"] for row in shown if row["step"])
    colours = {BASE: GREY, **{name: look["color"] for name, look in sets.items()}}
    rules = [rule for rule in RULES if any(row["rule"] == rule for row in shown)]
    canvas, grid = style.grid_of(len(panels), most=3, width=3.4, height=2.8)
    several = len({model for model, _ in panels}) > 1
    for axes, ((model, _), panel) in zip(grid, panels.items(), strict=True):
        _panel(axes, panel, colours)
        style.benchmark_title(axes, panel[0], model if several else "")
    handles = {name: Line2D([], [], color=colour) for name, colour in colours.items()}
    handles |= {RULES[rule]: Line2D([], [], color=GREY, linestyle=_line(rule), marker="o") for rule in rules}
    names = [style.title_of(name) for name in handles]
    canvas.legend(list(handles.values()), names, loc="outside upper center", ncols=min(3, len(handles)))
    caption = (
        "pass@k: at least one of k samples is correct; majority@k: the answer that most of k samples give is. Both are "
        "means over all ways to draw k of the stored samples; k = 1 is the score itself. Lines: the untrained model "
        "and each run at its end. Bands: 95 % intervals of pass@k, clustered by item. Where pass@k meets as k "
        "grows, training made likelier what the untrained model could already do."
    )
    style.note(canvas, caption, 48 * min(3, len(panels)))
    return canvas


def _several(rows: Rows) -> bool:
    return any(row["k"] > 1 for row in rows)


def _line(rule: str) -> Any:
    return LINES[list(RULES).index(rule)]


def _panel(axes: Axes, rows: Rows, colours: dict[str, str]) -> None:
    axes.set_xscale("log", base=2)
    sizes = sorted({row["k"] for row in rows})
    axes.set_xticks(sizes, [str(k) for k in sizes])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("samples, k")
    style.share_axis(axes, rows[0]["unit"])
    # Step 0 stands under every run of a model; it is drawn once.
    base = next((row["run"] for row in rows if row["step"] == 0), None)
    for (run, step, rule), line in by(rows, "run", "step", "rule").items():
        if step or run == base:
            colour = colours[line[0]["dataset"] if step else BASE]
            x = [row["k"] for row in line]
            axes.plot(x, [row["value"] for row in line], color=colour, linestyle=_line(rule), marker="o", markersize=3)
            if rule == "pass":
                bounds = [row["low"] for row in line], [row["high"] for row in line]
                axes.fill_between(x, *bounds, color=colour, alpha=0.12, linewidth=0)
