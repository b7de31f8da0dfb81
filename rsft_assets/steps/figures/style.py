"""How every figure looks: colours that colour-blind readers can tell apart, steps at even distances, quiet axes."""

import io
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

Rows = list[dict[str, Any]]
# Of training sets. Okabe and Ito's palette, the faint yellow left out: it does not hold on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
# Of all else. Paul Tol's light palette, for bars and cells: no colour of a training set has a second meaning.
TINTS = ("#77AADD", "#EE8866", "#44BB99", "#FFAABB", "#BBCC33", "#EEDD88", "#DDDDDD")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
# Solid, dashed, dotted, dash and dot, dash and two dots, long dashes.
LINES = ("-", "--", ":", "-.", (0, (4, 1.2, 1, 1.2, 1, 1.2)), (0, (9, 2)))
_MARGIN_INCHES = 0.1
PALE = "Pale: not beyond noise after Holm's correction over arms and benchmarks."
GREY, FAINT = "#6b6b6b", "#e2e2e2"
GROUPS = ("in-domain", "ood-reasoning", "general", "safety")
GROUP_TITLES = {
    "in-domain": "in domain",
    "ood-reasoning": "out-of-domain reasoning",
    "general": "general",
    "safety": "safety",
}
_PLACES: ContextVar[Mapping[str, int]] = ContextVar("_PLACES", default=MappingProxyType({}))
_TITLES: ContextVar[Mapping[str, str]] = ContextVar("_TITLES", default=MappingProxyType({}))


@contextmanager
def house_style(places: Mapping[str, int] | None = None, titles: Mapping[str, str] | None = None) -> Iterator[None]:
    """Matplotlib set up without a display, with text that stays text in SVG and ids that do not change.

    `places` are those of the training sets in their study: each has the same colour in every figure. `titles` stand in
    place of names, as `specs/titles.py` gives them.
    """
    matplotlib.use("Agg")
    token, titled = _PLACES.set(places or {}), _TITLES.set(titles or {})
    with matplotlib.rc_context(
        {
            **{"font.size": 9, "font.family": "DejaVu Sans", "axes.titlesize": 9.5, "axes.labelsize": 9},
            **{"axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": GREY, "axes.axisbelow": True},
            **{"axes.grid": True, "grid.color": FAINT, "grid.linewidth": 0.7, "axes.grid.axis": "y"},
            **{"xtick.color": GREY, "ytick.color": GREY, "xtick.labelsize": 8, "ytick.labelsize": 8},
            **{"legend.frameon": False, "legend.fontsize": 8.5, "lines.linewidth": 1.6, "lines.markersize": 4.5},
            **{"svg.fonttype": "none", "svg.hashsalt": "rsft", "figure.dpi": 100, "savefig.dpi": 160},
        }
    ):
        try:
            yield
        finally:
            _PLACES.reset(token)
            _TITLES.reset(titled)


def save(canvas: Canvas, folder: Path, name: str) -> None:
    """SVG and PNG, the same bytes for the same picture."""
    # Laid out and cropped once for both files: it is most of the work.
    canvas.draw_without_rendering()
    canvas.set_layout_engine(None)
    for legend in canvas.legends:
        # Held where it was laid out: cropping moves what is anchored to the canvas itself.
        box = legend.get_window_extent().transformed(canvas.transFigure.inverted())
        legend.set_bbox_to_anchor((0, 0, 1, 1), transform=canvas.transFigure)
        legend.set_loc((box.x0, box.y0))
    crop = canvas.get_tightbbox().padded(_MARGIN_INCHES)
    drawing = io.StringIO()
    canvas.savefig(drawing, format="svg", metadata={"Date": None}, bbox_inches=crop)
    (folder / f"{name}.svg").write_text(_slim(drawing.getvalue()), encoding="utf-8")
    canvas.savefig(folder / f"{name}.png", metadata={"Software": None}, bbox_inches=crop)
    plt.close(canvas)


def _slim(svg: str) -> str:
    """Without what cannot be seen: metadata, ids that nothing refers to, indentation, more than two decimals."""
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    used = set(re.findall(r"#([\w.-]+)", svg))
    svg = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", svg)
    tags = re.compile(r"<[^>]+>")
    numbers = re.compile(r"-?\d+\.\d{3,}")
    return tags.sub(
        lambda tag: numbers.sub(lambda number: f"{round(float(number[0]), 2):.8g}", tag[0]),
        re.sub(r">\s+<", "><", svg),
    )


def set_looks(datasets: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Colour and marker of each training set, in the order of their study; those it does not declare come last."""
    places = _PLACES.get()
    names = sorted(set(datasets), key=lambda name: (places.get(name, len(places)), name))
    last = max(places.values(), default=-1)
    at = {name: places.get(name, last + 1 + i) for i, name in enumerate(names)}
    # Another marker where the colours begin again.
    return {
        name: {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[(i + i // len(COLOURS)) % len(MARKERS)]}
        for name, i in at.items()
    }


def legend_of(
    sets: Mapping[str, dict[str, Any]], others: Mapping[str, dict[str, Any]]
) -> tuple[list[Line2D], list[str]]:
    """Handles and labels: the training sets and, in grey and where there are several, what else tells lines apart."""
    handles = {name: Line2D([], [], **look) for name, look in sets.items()}
    if len(others) > 1:
        handles |= {name: Line2D([], [], color=GREY, **look) for name, look in others.items()}
    return list(handles.values()), [title_of(name) for name in handles]


def title_of(name: str) -> str:
    """What is read in place of a training set's, a schedule's or a run's name."""
    return _TITLES.get().get(name, name)


def in_lines(schedule: str) -> str:
    """A schedule's title for a narrow place."""
    return title_of(schedule).replace(": ", ":\n").replace(", rate", ",\nrate")


def colour_of(names: Sequence[str]) -> dict[str, str]:
    """A colour for each name, the same in every panel."""
    return {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(dict.fromkeys(names))}


def line_of(names: Sequence[str]) -> dict[str, Any]:
    """A line style for each name."""
    return {name: LINES[i % len(LINES)] for i, name in enumerate(dict.fromkeys(names))}


def marker_of(names: Sequence[str]) -> dict[str, str]:
    """A marker for each name; past the last marker, another where the colours begin again."""
    return {name: MARKERS[(i + i // len(COLOURS)) % len(MARKERS)] for i, name in enumerate(dict.fromkeys(names))}


def step_axis(axes: Axes, steps: Sequence[int]) -> dict[int, int]:
    """Put the kept steps at even distances, since they are dense at the start; step -> place."""
    places = {step: place for place, step in enumerate(sorted(set(steps)))}
    axes.set_xticks(list(places.values()), ["base" if step == 0 else str(step) for step in places])
    axes.tick_params(axis="x", rotation=45 if len(places) > 8 else 0)
    axes.set_xlim(-0.4, len(places) - 0.6)
    return places


def share_axis(axes: Axes, unit: str, *, signed: bool = False, flat: bool = False) -> None:
    """Percent for shares, plain numbers for rewards and scales; `flat`: on the horizontal axis.

    A share that is no difference has the whole scale, 0 to 100 %, in every figure.
    """
    axis = axes.xaxis if flat else axes.yaxis
    if flat:
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    if unit == "share":
        axis.set_major_formatter(FuncFormatter(lambda y, _: _percent(y, signed)))
    if unit == "share" and not signed:
        axis.set_ticks((0, 0.25, 0.5, 0.75, 1))
        (axes.set_xlim if flat else axes.set_ylim)(-0.04, 1.04)


def one_scale(panels: Iterable[tuple[Axes, str]], *, flat: bool = False) -> None:
    """The same limits for all panels of a unit, so that equal differences have equal lengths."""
    units: dict[str, list[Axes]] = {}
    for axes, unit in panels:
        units.setdefault(unit, []).append(axes)
    for same_unit in units.values():
        limits = [axes.get_xlim() if flat else axes.get_ylim() for axes in same_unit]
        ends = min(low for low, _ in limits), max(high for _, high in limits)
        for axes in same_unit:
            (axes.set_xlim if flat else axes.set_ylim)(*ends)


def _percent(y: float, signed: bool) -> str:
    """A decimal only where the tick has one; differences are in percentage points."""
    decimals = 0 if abs(100 * y - round(100 * y)) < 1e-6 else 1
    if abs(y) < 1e-9:
        return "0" if signed else "0 %"
    return f"{100 * y:+.{decimals}f} pp".replace("-", "−") if signed else f"{100 * y:.{decimals}f} %"


def not_available(title: str, why: str) -> Canvas:
    """A figure for which there is no number yet says so, in its place."""
    canvas, axes = plt.subplots(figsize=(5.6, 1.6), layout="constrained")
    axes.axis("off")
    axes.text(0.5, 0.68, title, ha="center", fontsize=11, fontweight="bold")
    axes.text(0.5, 0.3, f"not available: {why}", ha="center", color=GREY)
    return canvas


def whisker(
    axes: Axes,
    x: float,
    y: float,
    low: float | None,
    high: float | None,
    *,
    flat: bool,
    pale: Any = False,
    **look: Any,
) -> None:
    """A point with its 95 % interval; an open point where no interval is known; a pale one as `PALE` says."""
    if low is not None and high is not None:
        ends = ([low, high], [y, y]) if flat else ([x, x], [low, high])
        axes.plot(*ends, color=look["color"], linewidth=1.4, alpha=0.3 if pale else 0.7, solid_capstyle="butt")
    else:
        look["markerfacecolor"] = "white"
    axes.plot([x], [y], linestyle="none", alpha=0.4 if pale else 1, **look)


def arm_over_steps(
    axes: Axes, arm: Rows, places: Mapping[int, int], look: Mapping[str, Any]
) -> list[tuple[dict[str, Any], float]]:
    """A line with its 95 % band: the mean over an arm's seeds, or its only run. Returns each row with its value."""
    line = max(by(arm, "run").values(), key=len)
    value, low, high = ("arm_value", "arm_low", "arm_high") if line[0]["seeds"] > 1 else ("value", "low", "high")
    x = [places[row["step"]] for row in line]
    axes.plot(x, [row[value] for row in line], marker="o", markersize=3, **look)
    if all(row[low] is not None for row in line):
        bounds = [row[low] for row in line], [row[high] for row in line]
        axes.fill_between(x, *bounds, color=look["color"], alpha=0.12, linewidth=0)
    return [(row, row[value]) for row in line]


def mark_dip(axes: Axes, x: float, y: float, colour: str) -> None:
    """A triangle over the step at which a run has dipped."""
    axes.annotate(
        "▼", (x, y), xytext=(0, 12), textcoords="offset points", ha="center", va="center", color=colour, fontsize=9,
        annotation_clip=False,
    )  # fmt: skip


def seed_point(axes: Axes, x: float, y: float, colour: str) -> None:
    """One training seed, small and faint beside the mean."""
    axes.plot([x], [y], marker="o", markersize=2.5, color=colour, alpha=0.45, linestyle="none")


def grid_of(count: int, *, most: int = 4, width: float = 2.9, height: float = 2.5) -> tuple[Canvas, list[Axes]]:
    """`count` panels in rows of at most `most`, the left-over places empty."""
    down = -(-count // most)
    across = -(-count // down)
    size = (max(4.6, 0.6 + width * across), 0.8 + height * down)
    canvas, grid = plt.subplots(down, across, figsize=size, squeeze=False, layout="constrained")
    panels = list(grid.flat)
    for axes in panels[count:]:
        axes.axis("off")
    return canvas, panels[:count]


def benchmark_title(axes: Axes, row: dict[str, Any], extra: str = "") -> None:
    """The benchmark's name in bold, its group (and what else) below."""
    group = GROUP_TITLES.get(row["benchmark_group"], row["benchmark_group"])
    axes.set_title(f"{row['title'] or row['benchmark']}\n" + "\n" * extra.count("\n"), fontweight="bold")
    title = f"{extra}, {group}" if extra else group
    title += ", less is better" if row.get("lower_is_better") else ""
    axes.text(0.5, 1.03, title, transform=axes.transAxes, ha="center", fontsize=8, color=GREY)


def heading(canvas: Canvas, title: str, question: str) -> None:
    """The lines above a figure that say what it is, so that it can stand alone."""
    inch = 1 / canvas.get_figheight()
    canvas.text(0.01, 1 + 0.32 * inch, title, ha="left", va="bottom", fontsize=12, fontweight="bold")
    canvas.text(0.01, 1 + 0.12 * inch, question, ha="left", va="bottom", fontsize=9, color=GREY)


def note(canvas: Canvas, text: str, characters: int = 200) -> None:
    """The lines under a figure that say how to read it, of at most so many characters."""
    canvas.text(
        0.01,
        -0.01,
        "\n".join(textwrap.wrap(text, characters)),
        ha="left",
        va="top",
        fontsize=8,
        color=GREY,
        wrap=False,
    )


def by(rows: Rows, *names: str) -> dict[Any, Rows]:
    """Rows grouped by columns, groups in the order they first appear."""
    groups: dict[Any, Rows] = {}
    for row in rows:
        key = tuple(row[name] for name in names) if len(names) > 1 else row[names[0]]
        groups.setdefault(key, []).append(row)
    return groups


def by_arm(rows: Rows) -> dict[Any, Rows]:
    """Rows grouped by what differs only in its training seed."""
    return by(rows, "source", "model", "dataset", "schedule")


def seed_words(rows: Rows, published: str = "") -> str:
    """How several training seeds are shown, and what was published, said only where there are such."""
    caption = ""
    if any((row.get("seeds") or 1) > 1 for row in rows):
        caption += " Small faint points are training seeds; the large one is their mean, its interval for items and "
        caption += "seeds both."
    return caption + (published if published and any(row["source"] == "paper" for row in rows) else "")


def in_group_order(rows: Rows) -> Rows:
    """Benchmarks in domain first, safety last, each group in the study's order."""
    return sorted(rows, key=lambda row: (GROUPS.index(row["benchmark_group"]), row["position"]))
