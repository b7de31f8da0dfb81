"""The study beside the paper: a row of panels for each, a panel for each kind of benchmark, dips marked by our test."""

from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from rsft_assets.steps.figures import style
from rsft_assets.steps.figures.style import GROUPS, Rows, by, by_arm

_LEAST_STEPS = 4
_MOST_ARMS = 6


def draw(rows: Rows, study: str) -> Canvas | None:
    """The figure, or None where the study has no run with enough scored steps."""
    rows = [row for run in by(rows, "run", "benchmark").values() if len(run) >= _LEAST_STEPS for row in run]
    sources = {source: _panels(own) for source, own in by(rows, "source").items()}
    if "ours" not in sources and study != "paper":
        return None
    shown = [(source, sources[source]) for source in ("paper", "ours") if source in sources]
    if not shown:
        return None
    across = max(len(panels) for _, panels in shown)
    canvas, grid = plt.subplots(
        len(shown), across, figsize=(0.6 + 2.9 * across, 0.5 + 3.1 * len(shown)), squeeze=False, layout="constrained"
    )
    for axes in grid.flat:
        axes.axis("off")
    for line, (source, panels) in zip(grid, shown, strict=True):
        drawn = [row for panel in panels for row in panel]
        sets = {name: {"color": look["color"]} for name, look in style.set_looks(r["dataset"] for r in drawn).items()}
        models = {name: {"linestyle": dash} for name, dash in style.line_of([r["model"] for r in drawn]).items()}
        for axes, panel in zip(line, panels, strict=False):
            axes.axis("on")
            _draw_panel(axes, panel, sets, models)
        line[0].set_ylabel("the paper, published" if source == "paper" else f"the {study} study", fontweight="bold")
        line[len(panels) - 1].legend(*style.legend_of(sets, models), loc="best", fontsize=7)
    caption = (
        "▼: our test finds a dip here, from which the run recovers: the mean over training seeds falls to this step "
        "and rises after it, both by more than chance after correcting for having picked the steps and for the number "
        "of arms and benchmarks. Bands: 95 % intervals; for the paper, those that one sample per item would give."
    )
    style.note(canvas, caption, 44 * across)
    return canvas


def _panels(rows: Rows) -> list[Rows]:
    """For each kind of benchmark the first with the most scores and items, for the model with the most arms."""
    rows, panels = style.in_group_order(rows), []
    for group in GROUPS:
        of_group = by([row for row in rows if row["benchmark_group"] == group], "benchmark")
        if of_group:
            panels.append(_few(max(of_group.values(), key=lambda scores: (len(scores), scores[0]["items"] or 0))))
    return panels


def _few(rows: Rows) -> Rows:
    if len(by_arm(rows)) <= _MOST_ARMS:
        return rows
    most = max(by(rows, "model").values(), key=lambda own: len(by_arm(own)))
    kept = list(by_arm(most).values())[:_MOST_ARMS]
    return [row for arm in kept for row in arm]


def _draw_panel(axes: Axes, rows: Rows, sets: dict[str, Any], models: dict[str, Any]) -> None:
    places = style.step_axis(axes, [row["step"] for row in rows])
    style.share_axis(axes, rows[0]["unit"])
    axes.set_xlabel("optimizer step")
    arms = by_arm(rows)
    dips = 0
    for arm in arms.values():
        look = sets[arm[0]["dataset"]] | models[arm[0]["model"]]
        for row, value in style.arm_over_steps(axes, arm, places, look):
            if row["is_valley"]:
                dips += 1
                style.mark_dip(axes, places[row["step"]], value, look["color"])
    style.benchmark_title(axes, rows[0], f"{dips} of {len(arms)} dip and recover")
