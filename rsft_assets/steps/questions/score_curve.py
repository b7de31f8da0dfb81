"""A score over the kept steps of its run, as a small SVG picture. Read from the scores in the home, not from tables.

Written as text: the page server draws in several threads, which Matplotlib does not allow, and on request.
"""

import html
import math
from collections.abc import Iterable
from dataclasses import dataclass

from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.study import Study
from rsft_assets.steps.records.store import Output, Store
from rsft_assets.steps.scores.grading.tasks import task_of

_WIDTH, _HEIGHT = 440, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 14, 34, 34
_BLUE, _ORANGE, _GREY, _FAINT = "#0072B2", "#D55E00", "#6b6b6b", "#e2e2e2"
_GRID_LINES = 5


@dataclass(frozen=True)
class Point:
    """A score at one step, with its 95 % interval."""

    step: int
    value: float
    low: float
    high: float


def point_of(score: Output | None) -> Point | None:
    """The number of a score under the strict grader; None where it has none."""
    if score is None or score.stats.get("value") is None:
        return None
    value = score.stats["value"]
    low, high = (value if score.stats.get(end) is None else score.stats[end] for end in ("low", "high"))
    return Point(score.manifest.ref.step, value, low, high)


def base_point(study: Study, store: Store, ref: Ref) -> Point | None:
    """The score of the untrained model, which is the same in every run of it: that of `ref`'s, or the first made."""
    runs = dict.fromkeys((ref.run, *(run.name for run in study.runs_of(study.runs[ref.run].model))))
    points = (point_of(store.sound(Ref(ref.asset, f"{run}|0"))) for run in runs)
    return next((point for point in points if point is not None), None)


def curve(study: Study, store: Store, ref: Ref) -> list[Point]:
    """Every kept step of the run of `ref` that has a number, from the base on."""
    steps = (step for step in study.steps_of(study.runs[ref.run]) if step)
    trained = (point_of(store.sound(Ref(ref.asset, f"{ref.run}|{step}"))) for step in steps)
    return [point for point in (base_point(study, store, ref), *trained) if point is not None]


def shown(study: Study, ref: Ref, number: float) -> str:
    """A score in its benchmark's unit: shares in percent."""
    share = task_of(study.benchmarks[ref.benchmark]).headline.unit == "share"
    return f"{100 * number:.1f} %" if share else f"{number:.3g}"


def curve_picture(study: Study, store: Store, ref: Ref, scale: float = 1) -> str:
    """The curve with the step of `ref` marked and the base as a dashed line."""
    points = curve(study, store, ref)
    title = f"{study.benchmarks[ref.benchmark].title}, {study.runs[ref.run].short_name}: score by step, 95 % intervals"
    body = [_text(_WIDTH / 2, 18, title, size=11, anchor="middle", colour="#222")]
    if points:
        body += _drawn(study, ref, points)
    else:
        body.append(_text(_WIDTH / 2, _HEIGHT / 2, "no score yet", anchor="middle"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH * scale:.0f}" height="{_HEIGHT * scale:.0f}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif"><rect width="100%" height="100%" fill="#fff"/>'
        + "".join(body)
        + "</svg>"
    )


def _drawn(study: Study, ref: Ref, points: list[Point]) -> Iterable[str]:
    least, most = min(point.low for point in points), max(point.high for point in points)
    room = 0.08 * (most - least) or 0.05
    least, most = least - room, most + room
    # Kept steps are dense at the start, so they stand at even distances, as in the figures.
    apart = (_WIDTH - _LEFT - _RIGHT) / len(points)

    def x(place: int) -> float:
        return _LEFT + (place + 0.5) * apart

    def y(value: float) -> float:
        return _TOP + (most - value) / (most - least) * (_HEIGHT - _TOP - _BOTTOM)

    for value in _grid(least, most):
        yield _line(_LEFT, y(value), _WIDTH - _RIGHT, y(value), _FAINT)
        yield _text(_LEFT - 5, y(value) + 3, shown(study, ref, value).replace(".0 %", " %"), anchor="end")
    if points[0].step == 0:
        yield _line(_LEFT, y(points[0].value), _WIDTH - _RIGHT, y(points[0].value), _GREY, "4 3")
    at = " ".join(f"{x(i):.1f},{y(point.value):.1f}" for i, point in enumerate(points))
    yield f'<polyline points="{at}" fill="none" stroke="{_BLUE}" stroke-width="1.6"/>'
    for i, point in enumerate(points):
        this = point.step == ref.step
        colour = _ORANGE if this else _BLUE
        yield _line(x(i), y(point.low), x(i), y(point.high), colour)
        yield f'<circle cx="{x(i):.1f}" cy="{y(point.value):.1f}" r="{4.5 if this else 3}" fill="{colour}"/>'
        name = str(point.step) if point.step else "base"
        yield _text(x(i), _HEIGHT - 18, name, anchor="middle", colour=colour if this else _GREY, bold=this)
        if this:
            label = f"step {point.step}: {shown(study, ref, point.value)}"
            yield _text(_WIDTH / 2, _HEIGHT - 4, label, size=10, anchor="middle", colour=_ORANGE, bold=True)


def _grid(least: float, most: float) -> Iterable[float]:
    """Round numbers in a range, at most `_GRID_LINES`."""
    size = 10.0 ** math.floor(math.log10(most - least))
    step = next(
        step
        for step in (size / 10, size / 5, size / 2, size, 2 * size, 5 * size)
        if (most - least) / step <= _GRID_LINES
    )
    return (i * step for i in range(math.ceil(least / step), math.floor(most / step) + 1))


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, dashes: str = "") -> str:
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dashed}/>'


def _text(
    x: float, y: float, content: str, *, size: int = 9, anchor: str, colour: str = _GREY, bold: bool = False
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}"{weight}>'
        f"{html.escape(content)}</text>"
    )
