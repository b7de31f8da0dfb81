"""Settings of one model at equal steps: panels for benchmarks, points with intervals for settings."""

from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from rsft_assets.steps.figures import style
from rsft_assets.steps.figures.style import GREY, MARKERS, Rows, by, by_arm

_ACROSS = 4
_BELOW = 1.2
"""How far below a setting stands what its repetition alone changes."""


def draw(rows: Rows, study: str) -> Canvas | None:
    """The figure, or None where no two settings can be compared."""
    rows = [row for group in _comparable(rows) for row in group]
    if not rows:
        return None
    lines = []
    for (model, steps), own in by(style.in_group_order(rows), "model", "total_steps").items():
        panels = list(by(own, "benchmark").values())
        lines += [(f"{model},\n{steps} steps", own, panels[i : i + _ACROSS]) for i in range(0, len(panels), _ACROSS)]
    across = max(len(panels) for *_, panels in lines)
    heights = [0.9 + 0.3 * (len(by_arm(own)) + 1.4 * len(_repeated(own))) for _, own, _ in lines]
    canvas, grid = plt.subplots(
        len(lines), across, figsize=(2.6 + 2.1 * across, sum(heights)), height_ratios=heights, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for axes in grid.flat:
        axes.axis("off")
    several = len({title for title, *_ in lines}) > 1
    looks = style.set_looks(row["dataset"] for row in rows)
    for line, (title, own, panels) in zip(grid, lines, strict=True):
        places, ticks = _places(own)
        for axes, panel in zip(line, panels, strict=False):
            axes.axis("on")
            _panel(axes, panel, places, ticks, looks)
            axes.tick_params(axis="y", labelleft=axes is line[0])
            style.benchmark_title(axes, panel[0])
        line[0].set_ylabel(title if several else "", fontweight="bold")
    caption = (
        f"{_which(rows)}. Each setting's score at its end; lines: 95 % intervals of the difference to the first "
        "setting of the set, which the dotted line continues, each by itself. "
        f"{style.PALE} Open points: the first setting itself, or no interval."
    )
    if any(row["fresh_difference"] is not None for row in rows):
        caption += (
            " Repetition alone: few rows repeated against more rows seen less often, in as many batches of the same "
            "size; the short upright line is the score of the latter."
        )
    caption += style.seed_words(rows, " * published by the paper.")
    style.note(canvas, caption, 40 + 32 * across)
    return canvas


def _which(rows: Rows) -> str:
    return "; ".join(f"{model} at {steps} steps" for model, steps in by(rows, "model", "total_steps"))


def _comparable(rows: Rows) -> list[Rows]:
    groups = by(rows, "source", "model", "data_family", "total_steps", "benchmark").values()
    return [group for group in groups if len(by_arm(group)) > 1]


def _repeated(rows: Rows) -> dict[Any, dict[str, Any]]:
    """Of every arm that repeats few rows where another sees more: a row that holds the difference."""
    compared = {arm: [row for row in own if row["fresh_difference"] is not None] for arm, own in by_arm(rows).items()}
    return {arm: arm_rows[0] for arm, arm_rows in compared.items() if arm_rows}


def _places(rows: Rows) -> tuple[dict[Any, float], dict[float, str]]:
    """Where each setting stands, the same in every panel of a line, and what is written there."""
    arms, repeated = by_arm(rows), _repeated(rows)
    places: dict[Any, float] = {}
    ticks: dict[float, str] = {}
    y = 0.0
    for name, label in zip(arms, _labels([arm[0] for arm in arms.values()]), strict=True):
        places[name] = y
        ticks[y] = label
        if name in repeated:
            ticks[y - _BELOW] = f"repetition alone: {_few(repeated[name])}"
            y -= _BELOW + 0.2
        y -= 1
    return places, ticks


def _panel(
    axes: Axes, rows: Rows, places: dict[Any, float], ticks: dict[float, str], looks: dict[str, dict[str, Any]]
) -> None:
    style.share_axis(axes, rows[0]["unit"], flat=True)
    repeated = _repeated(rows)
    for name, arm in by_arm(rows).items():
        place = list(places).index(name)
        look = looks[arm[0]["dataset"]] | {"marker": MARKERS[place % len(MARKERS)]}
        _setting(axes, arm, places[name], look)
        if name in repeated:
            _repetition(axes, repeated[name], places[name] - _BELOW, look)
    axes.set_yticks(list(ticks), list(ticks.values()))
    axes.set_ylim(min(ticks) - 0.6, 0.6)
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")


def _setting(axes: Axes, arm: Rows, y: float, look: dict[str, str]) -> None:
    """One setting's score, with the interval of its difference to the first."""
    # The seeds that both settings have are compared; another seed says nothing of the difference.
    row = next((one for one in arm if one["arm_difference_low"] is not None), arm[0])
    low = high = None
    if row["arm_difference_low"] is not None and not row["is_reference"]:
        ends = ("arm_difference_low", "arm_difference_high")
        low, high = (row["seed_mean"] - row["arm_difference"] + row[end] for end in ends)
    for seed in arm if len(arm) > 1 else []:
        style.seed_point(axes, seed["value"], y, look["color"])
    pale = not (row["is_reference"] or row["is_arm_difference_confirmed"])
    style.whisker(axes, row["seed_mean"], y, low, high, flat=True, pale=pale, **look)
    if row["is_reference"]:
        axes.axvline(row["seed_mean"], color=GREY, linestyle=":", linewidth=1)


def _repetition(axes: Axes, row: dict[str, Any], y: float, look: dict[str, str]) -> None:
    """The same score beside that of more rows seen less often: what repetition alone changes."""
    fresh = row["seed_mean"] - row["fresh_difference"]
    known = row["fresh_difference_low"] is not None
    low, high = (fresh + row[f"fresh_difference_{end}"] if known else None for end in ("low", "high"))
    axes.plot([fresh, fresh], [y - 0.35, y + 0.35], color=GREY, linewidth=1.4)
    pale = not row["is_fresh_difference_confirmed"]
    style.whisker(axes, row["seed_mean"], y, low, high, flat=True, pale=pale, **look)


def _few(row: dict[str, Any]) -> str:
    """What is compared, short enough for a label."""
    return f"\n{row['rows']:,} × {row['passes']:g} against {row['fresh_rows']:,} × {row['fresh_passes']:g}"


def _labels(rows: Rows) -> list[str]:
    """Title, rows and passes; the set's name, and the learning rate, where these do not tell all settings apart."""
    titles = [style.title_of(row["schedule"]).rpartition(": ")[0] for row in rows]
    labels = [f"{row['rows']:,} rows × {row['passes']:g}" for row in rows]
    labels = [f"{title}:\n{label}" if title else label for title, label in zip(titles, labels, strict=True)]
    if len({row["data_family"] for row in rows}) > 1:
        labels = [f"{style.title_of(row['data_family'])}, {label}" for label, row in zip(labels, rows, strict=True)]
    if len(set(labels)) < len(labels):
        labels = [f"{label}, {row['lr']:g} {row['decay']}" for label, row in zip(labels, rows, strict=True)]
    return [label + ("*" if row["source"] == "paper" else "") for label, row in zip(labels, rows, strict=True)]
