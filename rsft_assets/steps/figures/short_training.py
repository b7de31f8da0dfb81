"""What a short training adds beside the usual one: a panel for each benchmark, a row for each length."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from rsft_assets.steps.figures import style
from rsft_assets.steps.figures.style import GREY, Rows, by, by_arm


def draw(rows: Rows, study: str) -> Canvas | None:
    """The figure, or None where no benchmark has both a short and the usual training."""
    groups = by(
        [row for row in rows if row["arm_gain"] is not None], "source", "model", "dataset", "benchmark"
    ).values()
    rows = [row for group in groups if len(by(group, "schedule")) > 1 for row in group]
    if not rows:
        return None
    lengths = style.marker_of([row["schedule"] for row in sorted(rows, key=lambda row: row["step"])])
    sets = {name: {"color": look["color"]} for name, look in style.set_looks(row["dataset"] for row in rows).items()}
    panels = by(style.in_group_order(rows), "benchmark")
    tall = max(len(by_arm(own)) for own in panels.values())
    canvas, grid = style.grid_of(len(panels), most=3, width=3.6, height=min(6.0, max(1.6, 0.7 + 0.25 * tall)))
    for axes, panel in zip(grid, panels.values(), strict=True):
        _panel(axes, panel, sets, lengths)
        style.benchmark_title(axes, panel[0])
    style.one_scale(((axes, panel[0]["unit"]) for axes, panel in zip(grid, panels.values(), strict=True)), flat=True)
    shapes = {name: {"marker": marker} for name, marker in lengths.items()}
    canvas.legend(*style.legend_of(sets, shapes), loc="outside upper center", ncols=min(3, len(panels)))
    caption = (
        "Gain over the untrained model at the end of a short training and of the usual one on the same set, on the "
        f"same items, each with its own 95 % interval. {style.PALE} Open points: no interval."
    )
    caption += style.seed_words(rows, " * published by the paper: intervals as for two unrelated samples.")
    style.note(canvas, caption, 50 * min(3, len(panels)))
    return canvas


def _panel(axes: Axes, rows: Rows, sets: dict[str, dict[str, str]], lengths: dict[str, str]) -> None:
    style.share_axis(axes, rows[0]["unit"], signed=True, flat=True)
    axes.axvline(0, color=GREY, linewidth=0.9)
    ticks, y = {}, 0.0
    several = len(by(rows, "model")) < len(by(rows, "model", "dataset"))
    for (source, model, dataset), own in by(rows, "source", "model", "dataset").items():
        first = y
        for arm in by_arm(own).values():
            row = arm[0]
            look = sets[dataset] | {"marker": lengths[row["schedule"]]}
            for seed in arm if len(arm) > 1 else []:
                style.seed_point(axes, seed["difference"], -y, look["color"])
            low, high, pale = row["arm_gain_low"], row["arm_gain_high"], not row["is_arm_gain_confirmed"]
            style.whisker(axes, row["arm_gain"], -y, low, high, flat=True, pale=pale, **look)
            y += 1
        label = model + (f"\n{style.title_of(dataset)}" if several else "")
        ticks[-(first + y - 1) / 2] = label + ("*" if source == "paper" else "")
        y += 0.7
    axes.set_yticks(list(ticks), list(ticks.values()))
    axes.set_ylim(-y + 0.9, 0.8)
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")
