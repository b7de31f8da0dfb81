"""Scores over training steps: a row of panels for each model, a panel for each benchmark, a line for each arm.

`draw` shows the models with the most arms, each under its most common schedule; `draw_model` all arms of one model.
"""

import itertools
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from rsft_assets.steps.figures import style
from rsft_assets.steps.figures.style import GREY, Rows, by, by_arm

MOST_PANELS = 12
MOST_BLOCKS = 2
"""Lanes that stand below each other; more of them stand side by side."""


def draw(rows: Rows, study: str) -> Canvas | None:
    """The figure, or None where no run has three scored steps."""
    rows = _followed(rows)
    if not rows:
        return None
    models = sorted(by(rows, "model").items(), key=lambda item: -len(by_arm(item[1])))
    benchmarks = _chosen(rows, MOST_PANELS // min(2, len(models)))
    usual = [(model, *_by_schedule(own)[0]) for model, own in models]
    shown = usual[: MOST_PANELS // len(benchmarks)]
    titles = {schedule: style.title_of(schedule) for _, schedule, _ in shown}
    lanes = [(model if len(titles) == 1 else f"{model}\n{titles[schedule]}", own) for model, schedule, own in shown]
    caption = f" Schedule: {next(iter(titles.values()))}." if len(titles) == 1 else ""
    if len({row["schedule"] for row in rows}) > len(titles) or len(shown) < len(models):
        rest = ", ".join(model for model, _ in models[len(shown) :])
        caption += f" Other schedules{f' and models ({rest})' if rest else ''}: see the picture of each model."
    return _picture(lanes, benchmarks, _words(rows, "the study") + caption, seeds=False)


def draw_model(rows: Rows, study: str) -> Canvas | None:
    """All arms of one model by schedule, with their training seeds, or None where no run has three scored steps."""
    rows = _followed(rows)
    if not rows:
        return None
    lanes = [(style.in_lines(schedule), own) for schedule, own in _by_schedule(rows)]
    caption = " Thin lines: training seeds." if any(row["seeds"] > 1 for row in rows) else ""
    return _picture(lanes, _chosen(rows, len(rows)), _words(rows, "this model") + caption, seeds=True)


def _followed(rows: Rows) -> Rows:
    return [row for run in by(rows, "source", "run", "benchmark").values() if len(run) >= 3 for row in run]


def _by_schedule(rows: Rows) -> list[tuple[str, Rows]]:
    """Schedules with the most arms first."""
    return sorted(by(rows, "schedule").items(), key=lambda item: (-len(by_arm(item[1])), -len(item[1]), item[0]))


def _chosen(rows: Rows, most: int) -> list[str]:
    """Of the benchmarks that most models are scored on, as many of each group."""
    scores = by(style.in_group_order(rows), "benchmark")
    turns = {
        name: (-len(by(scores[name], "model")), turn)
        for group in by([own[0] for own in scores.values()], "benchmark_group").values()
        for turn, name in enumerate(row["benchmark"] for row in group)
    }
    chosen = sorted(scores, key=lambda name: turns[name])[:most]
    return [benchmark for benchmark in scores if benchmark in chosen]


def _picture(lanes: list[tuple[str, Rows]], benchmarks: list[str], caption: str, *, seeds: bool) -> Canvas:
    """A panel for each lane and benchmark, all with one step axis."""
    rows = [row for _, own in lanes for row in own if row["benchmark"] in benchmarks]
    canvas, panels = _grid(len(lanes), len(benchmarks))
    titles = by(rows, "benchmark")
    looks = style.set_looks(row["dataset"] for row in rows)
    both = len({row["source"] for row in rows}) > 1
    steps = sorted({row["step"] for row in rows})
    for (i, j), axes in panels.items():
        lane, own = lanes[i]
        _panel(axes, [row for row in own if row["benchmark"] == benchmarks[j]], looks, steps, seeds, both)
        row = titles[benchmarks[j]][0]
        if len(lanes) <= MOST_BLOCKS:
            style.benchmark_title(axes, row, lane)
            continue
        axes.set_title("" if j else lane, fontweight="bold")
        axes.set_ylabel("" if i else row["title"] or benchmarks[j], fontweight="bold")
        axes.tick_params(labelbottom=j == len(benchmarks) - 1, labelleft=i == 0 or row["unit"] != "share")
    canvas.legend(*style.legend_of(looks, {}), loc="outside upper center", ncols=min(4, len(looks)))
    caption += " Dashed: the paper's published numbers." if both else ""
    style.note(canvas, caption, int(12.5 * canvas.get_figwidth()))
    return canvas


def _grid(lanes: int, benchmarks: int) -> tuple[Canvas, dict[tuple[int, int], Axes]]:
    """The panels by lane and benchmark: three in a row, lane below lane; of many lanes, a column for each."""
    blocks, across = lanes <= MOST_BLOCKS, min(3, benchmarks)
    places = {
        (i, j): (i * -(-benchmarks // across) + j // across, j % across) if blocks else (j, i)
        for i, j in itertools.product(range(lanes), range(benchmarks))
    }
    shape = [1 + max(place[side] for place in places.values()) for side in (0, 1)]
    size = max(4.6, 0.6 + (3.1 if blocks else 2.4) * shape[1]), 0.9 + (2.2 if blocks else 1.6) * shape[0]
    canvas, panels = plt.subplots(*shape, figsize=size, squeeze=False, layout="constrained")
    for row, column in itertools.product(*map(range, shape)):
        axes, used = panels[row, column], places.values()
        if (row, column) not in used:
            axes.set_axis_off()
        axes.set_ylabel("" if column else "score")
        axes.set_xlabel("" if (row + 1, column) in used else "optimizer step")
    return canvas, {key: panels[place] for key, place in places.items()}


def _panel(axes: Axes, rows: Rows, looks: dict[str, dict[str, Any]], steps: list[int], seeds: bool, both: bool) -> None:
    if not rows:
        axes.text(0.5, 0.5, "not scored", transform=axes.transAxes, ha="center", va="center", color=GREY)
        axes.set_xticks([])
        axes.set_yticks([])
        return
    places = style.step_axis(axes, steps)
    style.share_axis(axes, rows[0]["unit"])
    for arm in by_arm(rows).values():
        look = looks[arm[0]["dataset"]] | {"linestyle": "--" if both and arm[0]["source"] == "paper" else "-"}
        lines = list(by(arm, "run").values())
        for line in lines if seeds and len(lines) > 1 else ():
            x = [places[row["step"]] for row in line]
            axes.plot(x, [row["value"] for row in line], color=look["color"], linewidth=0.7, alpha=0.45)
        mean = max(lines, key=len)
        value, low, high = ("arm_value", "arm_low", "arm_high") if len(lines) > 1 else ("value", "low", "high")
        x = [places[row["step"]] for row in mean]
        axes.plot(x, [row[value] for row in mean], **look)
        if all(row[low] is not None for row in mean):
            bounds = [row[low] for row in mean], [row[high] for row in mean]
            axes.fill_between(x, *bounds, color=look["color"], alpha=0.15, linewidth=0)
        for row in (row for row in mean if row["is_valley"]):
            style.mark_dip(axes, places[row["step"]], row[value], look["color"])


def _words(rows: Rows, whose: str) -> str:
    names = ("source", "model", "dataset", "schedule", "benchmark")
    tested = [row for row in rows if row["benchmark_group"] != "safety"]
    arms, dips = by(tested, *names), by([row for row in tested if row["is_valley"]], *names)
    several = any(row["seeds"] > 1 for row in rows)
    return (
        f"Scores before training (base) and after so many steps{', mean over training seeds' if several else ''}. "
        f"Shaded: 95 % intervals{' over items and seeds' if several else ' over items'}. "
        "▼: a dip; the score falls to this step and rises again after it, both by more than chance, corrected for how "
        "many steps, training sets and benchmarks were looked at. "
        f"Of {len(arms)} lines of {whose} outside safety, {len(dips) or 'none'} dip{'s' if len(dips) == 1 else ''}."
    )
