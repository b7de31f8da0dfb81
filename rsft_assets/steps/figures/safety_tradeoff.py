"""Reasoning gained against safety lost: a panel for each model, a point with two intervals for each training set."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from rsft_assets.steps.figures import style
from rsft_assets.steps.figures.style import GREY, Rows, by, by_arm


def draw(rows: Rows, study: str) -> Canvas | None:
    """The figure, or None where no run has both a reasoning and a safety score."""
    if not rows:
        return None
    panels = by(rows, "safety_benchmark", "metric", "model")
    plain = {row["dataset"] for row in rows if not row["thinking"]}
    sets = {name: {"color": look["color"]} for name, look in style.set_looks(row["dataset"] for row in rows).items()}
    marks = style.marker_of([row["schedule"] for row in sorted(rows, key=lambda row: row["schedule"])])
    across = min(3, len(panels))
    canvas, grid = style.grid_of(len(panels), most=3, width=3.8, height=3.2)
    for axes, ((benchmark, _, model), panel) in zip(grid, panels.items(), strict=True):
        _panel(axes, panel, sets, marks)
        style.share_axis(axes, panel[0]["unit"], signed=True)
        style.share_axis(axes, "share", signed=True, flat=True)
        axes.set_title(f"{model}{', published' if panel[0]['source'] == 'paper' else ''}", fontweight="bold")
        axes.set_xlabel("gain in reasoning over the base")
        axes.set_ylabel(f"{_what(panel[0])},\n{style.title_of(benchmark)}")
    style.one_scale((axes, _what(panel[0])) for axes, panel in zip(grid, panels.values(), strict=True))
    style.one_scale(((axes, "") for axes in grid), flat=True)
    point = {"marker": "o", "linestyle": "none"}
    titles = {name: style.title_of(name) + " (no thinking)" * (name in plain) for name in sets}
    names = {titles[name]: point | look for name, look in sets.items()}
    shapes = {name: point | {"marker": mark} for name, mark in marks.items()}
    canvas.legend(*style.legend_of(names, shapes), loc="outside upper center", ncols=min(2 * across, 4))
    caption = (
        "Up is worse, right is better. Colour: training set; marker: schedule. Crossed lines: 95 % intervals, each by "
        "itself. Pale: the change in safety is not beyond noise after Holm's correction over arms. Reasoning is the "
        "plain mean over the reasoning benchmarks, in domain and out."
    )
    style.note(canvas, caption + style.seed_words(rows), max(60, 52 * across))
    return canvas


def _what(row: dict[str, Any]) -> str:
    """What the vertical axis is."""
    if row["reading"] == "harm":
        return f"harm: {'fall' if row['is_fall'] else 'rise'} of {row['metric']}"
    return f"rise of {row['reading']}"


def _panel(axes: Axes, rows: Rows, sets: dict[str, dict[str, Any]], marks: dict[str, str]) -> None:
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.axvline(0, color=GREY, linewidth=0.8)
    for arm in by_arm(rows).values():
        row, colour = arm[0], sets[arm[0]["dataset"]]["color"]
        for seed in arm if len(arm) > 1 else []:
            style.seed_point(axes, seed["reasoning_gain"], seed["harm"], colour)
        x, y = row["arm_reasoning_gain"], row["arm_harm"]
        alpha = 1 if row["is_arm_harm_confirmed"] else 0.4
        ends = [row["arm_reasoning_gain_low"], row["arm_reasoning_gain_high"]]
        axes.plot(ends, [y, y], color=colour, alpha=alpha / 2)
        axes.plot([x, x], [row["arm_harm_low"], row["arm_harm_high"]], color=colour, alpha=alpha / 2)
        axes.plot([x], [y], color=colour, alpha=alpha, marker=marks[row["schedule"]], linestyle="none")
    axes.margins(0.12)
