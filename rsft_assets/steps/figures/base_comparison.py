"""What the base had read: a panel for each distance from what is trained, bases by colour, sets by line."""

from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from rsft_assets.steps.figures import style
from rsft_assets.steps.figures.style import Rows, by, by_arm

_MOST_OF_A_GROUP = 3


def draw(rows: Rows, study: str) -> Canvas | None:
    """The figure, or None where no two bases of one size were trained on the same set."""
    if not rows:
        return None
    panels = _panels(rows)
    shown = [row for panel in panels for row in panel]
    bases = sorted({(row["thinking_read"], row["model"]) for row in shown})
    colours = {model: {"color": style.COLOURS[place % len(style.COLOURS)]} for place, (_, model) in enumerate(bases)}
    sets = sorted({(not row["thinking"], row["dataset"]) for row in shown})
    lines = {name: {"linestyle": dash} for name, dash in style.line_of([dataset for _, dataset in sets]).items()}
    across = -(-len(panels) // 2)
    canvas, grid = plt.subplots(
        2, across, figsize=(0.6 + 3.2 * across, 6.4), squeeze=False, layout="constrained", sharey=True
    )
    for axes in grid.flat[len(panels) :]:
        axes.axis("off")
    for axes, panel in zip(grid.flat, panels, strict=False):
        _draw_panel(axes, panel, colours, lines)
    handles, names = style.legend_of(colours, lines)
    canvas.legend(handles, names, loc="outside upper center", ncols=len(names))
    descriptions = {row["model"]: row["model_description"] for row in shown}
    caption = " ".join(f"{model}: {descriptions[model]}" for _, model in bases if descriptions[model])
    style.note(canvas, f"{caption} Lines: means over training seeds. Bands: 95 % intervals.", 52 * across)
    return canvas


def _panels(rows: Rows) -> list[Rows]:
    """Of each group of benchmarks at most three: the first two and the last, as the study orders them."""
    panels: list[Rows] = []
    for of_group in by(style.in_group_order(rows), "benchmark_group").values():
        benchmarks = list(by(of_group, "benchmark").values())
        if len(benchmarks) > _MOST_OF_A_GROUP:
            benchmarks = [*benchmarks[:2], benchmarks[-1]]
        panels += benchmarks
    return panels


def _draw_panel(axes: Axes, rows: Rows, colours: dict[str, Any], lines: dict[str, Any]) -> None:
    places = style.step_axis(axes, [row["step"] for row in rows])
    style.share_axis(axes, rows[0]["unit"])
    axes.set_xlabel("optimizer step")
    for arm in by_arm(rows).values():
        style.arm_over_steps(axes, arm, places, colours[arm[0]["model"]] | lines[arm[0]["dataset"]])
    style.benchmark_title(axes, rows[0])
