"""Reasoning gained against safety lost: a panel for each model, a point with two intervals for each training set."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from rsft_assets.steps.figures import style
from rsft_assets.steps.figures.style import GREY, Rows, by, by_arm

MARKERS = {True: ("o", "^", "P"), False: ("s", "D", "X")}
"""Thinking in the training data, or none; the second and third where the colours begin again."""
MARKER_WORDS = {"o": "circles", "^": "triangles", "P": "pluses", "s": "squares", "D": "diamonds", "X": "crosses"}


def draw(rows: Rows, study: str) -> Canvas | None:
    """The figure, or None where no run has both a reasoning and a safety score."""
    if not rows:
        return None
    panels = by(rows, "safety_benchmark", "metric", "model")
    names = sorted({(not row["thinking"], _name(row, rows)) for row in rows})
    looks = _looks([(name, not plain) for plain, name in names])
    across = min(3, len(panels))
    canvas, grid = style.grid_of(len(panels), most=3, width=3.8, height=3.2)
    for axes, ((benchmark, _, model), of) in zip(grid, panels.items(), strict=True):
        _panel(axes, of, {id(row): looks[_name(row, rows)] for row in of})
        style.share_axis(axes, of[0]["unit"], signed=True)
        style.share_axis(axes, "share", signed=True, flat=True)
        axes.set_title(f"{model}{', published' if of[0]['source'] == 'paper' else ''}", fontweight="bold")
        axes.set_xlabel("gain in reasoning over the base")
        axes.set_ylabel(f"{_what(of[0])},\n{benchmark}")
    handles = [Line2D([], [], **looks[name], label=name) for _, name in names]
    canvas.legend(handles=handles, loc="outside upper center", ncols=max(1, min(2 * across, 3, len(handles))))
    caption = (
        f"Up is worse, right is better. {_marks(looks)} Thin crossed lines: 95 % intervals. "
        "Reasoning is the plain mean over the reasoning benchmarks, in domain and out; a line that misses 0 is a "
        "change beyond noise."
    )
    style.note(canvas, caption + style.seed_words(rows), max(60, 52 * across))
    return canvas


def _name(row: dict[str, Any], rows: Rows) -> str:
    """The training set, and the schedule where there are several."""
    return f"{row['dataset']}, {row['schedule']}" if len({one["schedule"] for one in rows}) > 1 else row["dataset"]


def _looks(names: list[tuple[str, bool]]) -> dict[str, dict[str, Any]]:
    """Colour and marker of each name; what has thinking and what has none never share a marker."""
    every = [name for name, _ in names]
    colours = style.colour_of(every)
    marks = {thinking: style.marker_of(every, of, rounds=True) for thinking, of in MARKERS.items()}
    return {
        name: {"color": colours[name], "marker": marks[thinking][name], "linestyle": "none"} for name, thinking in names
    }


def _marks(looks: dict[str, dict[str, Any]]) -> str:
    """Which of the markers that are drawn stand for thinking, and which for none."""
    drawn = {look["marker"] for look in looks.values()}
    meanings = [
        f"{', '.join(MARKER_WORDS[mark] for mark in marks if mark in drawn)}: {meaning}"
        for meaning, marks in (("thinking in the training data", MARKERS[True]), ("none", MARKERS[False]))
        if drawn & set(marks)
    ]
    said = "; ".join(meanings)
    return f"{said[0].upper()}{said[1:]}."


def _what(row: dict[str, Any]) -> str:
    """What the vertical axis is."""
    if row["reading"] == "harm":
        return f"harm: {'fall' if row['is_fall'] else 'rise'} of {row['metric']}"
    return f"rise of {row['reading']}"


def _panel(axes: Axes, rows: Rows, looks: dict[int, dict[str, Any]]) -> None:
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.axvline(0, color=GREY, linewidth=0.8)
    for arm in by_arm(rows).values():
        row, look = arm[0], looks[id(arm[0])]
        colour = look["color"]
        for seed in arm if len(arm) > 1 else []:
            style.seed_point(axes, seed["reasoning_gain"], seed["harm"], colour)
        x, y = row["arm_reasoning_gain"], row["arm_harm"]
        axes.plot([row["arm_reasoning_gain_low"], row["arm_reasoning_gain_high"]], [y, y], color=colour, alpha=0.5)
        axes.plot([x, x], [row["arm_harm_low"], row["arm_harm_high"]], color=colour, alpha=0.5)
        axes.plot([x], [y], **look)
    axes.margins(0.12)
