"""What each training set adds to the untrained model: a panel for each benchmark, a row for each set and model."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from rsft_assets.steps.figures import style
from rsft_assets.steps.figures.style import GREY, Rows, by, by_arm


def draw(rows: Rows, study: str) -> Canvas | None:
    """The figure, or None where no run has reached its end."""
    rows = [row for row in rows if row["gain"] is not None]
    if not rows:
        return None
    looks = style.set_looks(row["dataset"] for row in rows)
    models = list(by(rows, "model"))
    panels = by(style.in_group_order(rows), "benchmark")
    tall = 0.7 + 0.2 * len(by_arm(rows))
    canvas, grid = style.grid_of(len(panels), most=3, width=3.6, height=min(6.0, max(1.6, tall)))
    for axes, panel in zip(grid, panels.values(), strict=True):
        _panel(axes, panel, models, looks)
        style.benchmark_title(axes, panel[0])
    style.one_scale(((axes, panel[0]["unit"]) for axes, panel in zip(grid, panels.values(), strict=True)), flat=True)
    canvas.legend(*style.legend_of(looks, {}), loc="outside upper center", ncols=min(4, len(looks)))
    caption = (
        "Gain over the untrained model at the end of training, on the same items, each with its own 95 % interval. "
        f"{style.PALE} Open points: no interval."
    )
    caption += style.seed_words(rows, " * published by the paper: intervals as for two unrelated samples.")
    style.note(canvas, caption, 50 * min(3, len(panels)))
    return canvas


def _panel(axes: Axes, rows: Rows, models: list[str], looks: dict[str, dict[str, Any]]) -> None:
    style.share_axis(axes, rows[0]["unit"], signed=True, flat=True)
    axes.axvline(0, color=GREY, linewidth=0.9)
    ticks, labels, y = [], [], 0.0
    for model in models:
        own = [row for row in rows if row["model"] == model]
        if not own:
            continue
        first = y
        for arm in by_arm(own).values():
            row, look = arm[0], looks[arm[0]["dataset"]]
            for seed in arm if len(arm) > 1 else []:
                style.seed_point(axes, seed["gain"], -y, look["color"])
            low, high, pale = row["arm_gain_low"], row["arm_gain_high"], not row["is_arm_gain_confirmed"]
            style.whisker(axes, row["arm_gain"], -y, low, high, flat=True, pale=pale, **look)
            y += 1
        ticks.append(-(first + y - 1) / 2)
        labels.append(model + ("*" if own[0]["source"] == "paper" else ""))
        y += 0.7
    axes.set_yticks(ticks, labels)
    axes.set_ylim(-y + 0.9, 0.8)
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")
