"""Gain over the untrained model against the model's size: panels by benchmark, lines by set and family."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from rsft_assets.steps.figures import style
from rsft_assets.steps.figures.style import GREY, LINES, MARKERS, Rows, by, by_arm


def draw(rows: Rows, study: str) -> Canvas | None:
    """The figure, or None where no training set was used on two models."""
    compared = by([row for row in rows if row["gain"] is not None], "source", "dataset", "benchmark").values()
    rows = [row for group in compared if len({row["parameters"] for row in group}) > 1 for row in group]
    if not rows:
        return None
    looks, families = style.set_looks(row["dataset"] for row in rows), list(by(rows, "family", "mixture"))
    panels = by(style.in_group_order(rows), "benchmark")
    canvas, grid = style.grid_of(len(panels), most=3, width=3.2)
    shown: dict[str, Any] = {}
    for axes, panel in zip(grid, panels.values(), strict=True):
        _panel(axes, panel, looks, families, shown)
        style.benchmark_title(axes, panel[0])
    style.one_scale((axes, panel[0]["unit"]) for axes, panel in zip(grid, panels.values(), strict=True))
    canvas.legend(list(shown.values()), list(shown), loc="outside upper center", ncols=min(3, len(panels), len(shown)))
    caption = (
        "Gain over the untrained model at the end of training, on the same items, with 95 % intervals; "
        "lines join models of one family. Open points: no interval."
    )
    caption += style.seed_words(rows, " Published: the paper's numbers, intervals as for two unrelated samples.")
    style.note(canvas, caption, 46 * min(3, len(panels)))
    return canvas


def _panel(
    axes: Axes, rows: Rows, looks: dict[str, dict[str, str]], families: list[Any], shown: dict[str, Any]
) -> None:
    style.share_axis(axes, rows[0]["unit"], signed=True)
    axes.set_xscale("log")
    axes.axhline(0, color=GREY, linewidth=0.9)
    datasets = list(looks)
    for (source, dataset, family, mixture), line in by(rows, "source", "dataset", "family", "mixture").items():
        place = families.index((family, mixture))
        # A family of one model has no line to tell it by.
        look = looks[dataset] | ({"marker": MARKERS[place % len(MARKERS)]} if len(families) > 1 else {})
        # A hair's breadth apart, so that intervals at one size can be told apart.
        nudge = 1 + 0.035 * (datasets.index(dataset) - (len(datasets) - 1) / 2) + 0.05 * place * (mixture is not None)
        means = [own[0] for own in by_arm(line).values()]
        x = [row["parameters"] * nudge for row in means]
        (drawn,) = axes.plot(
            x, [row["arm_gain"] for row in means], linestyle=LINES[place % len(LINES)], linewidth=1.1,
            color=look["color"], marker=look["marker"],
        )  # fmt: skip
        kind = ", ".join(filter(None, (family, mixture)))
        parts = (style.title_of(dataset), kind * (len(families) > 1), "published" * (source == "paper"))
        label = ", ".join(filter(None, parts))
        shown.setdefault(label, drawn)
        for row in line:
            if row["seeds"] > 1:
                style.seed_point(axes, row["parameters"] * nudge, row["gain"], look["color"])
        for at, row in zip(x, means, strict=True):
            style.whisker(axes, at, row["arm_gain"], row["arm_gain_low"], row["arm_gain_high"], flat=False, **look)
    sizes = sorted({row["parameters"] for row in rows})
    axes.set_xticks(sizes, [_size(size) for size in sizes])
    axes.set_xticks([], minor=True)
    axes.tick_params(axis="x", rotation=30)
    axes.set_xlabel("parameters")


def _size(parameters: int) -> str:
    return f"{parameters / 1e9:.3g} B" if parameters >= 1e9 else f"{parameters / 1e6:.2g} M"
