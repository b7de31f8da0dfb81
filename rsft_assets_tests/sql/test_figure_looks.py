"""Figures: how many panels, one colour for a training set, one scale for scores, and files without ballast."""

import itertools
import re

import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex

from rsft_assets.specs.study import load_study
from rsft_assets.steps.figures import (
    data_comparison,
    dip_and_recovery,
    safety_tradeoff,
    schedule_comparison,
    short_training,
    style,
    training_curves,
)
from rsft_assets.steps.figures.draw import _places

USUAL, SHORT = "lr1e-4_ep8_bs16", "lr1e-4_ep1_bs2_constlr"
STEPS = (0, 10, 20)
TITLES = {
    "cot": "CoT",
    USUAL: "Setting 1: 8 epochs, batch 16, rate 1e-4",
    SHORT: "1 epoch, batch 2, rate 1e-4, constant",
    **{f"lr1e-4_ep{n}_bs16": f"{n} epochs, batch 16, rate 1e-4" for n in (1, 2, 4)},
}

LOSSES = {"loss_smooth": 1.0, "entropy_smooth": None, "held_out_loss": None, "base_kl": None}


def dip_rows(models, benchmarks, datasets=("cot",), schedules=(USUAL,)):
    """Scores by step of every model with every training set and schedule; groups take turns by benchmark."""
    return [
        {
            **{"source": "ours", "model": model, "dataset": dataset, "schedule": schedule, "step": step, "seeds": 1},
            **{"run": f"{model}_{dataset}_{schedule}", "benchmark": f"b{i}", "title": f"B{i}", "position": i},
            **{"benchmark_group": style.GROUPS[i % 4], "unit": "share", "lower_is_better": False, "value": 0.5},
            **{"low": 0.4, "high": 0.6, "is_valley": step == 10 and schedule == SHORT},
        }
        for model in models
        for i in range(benchmarks)
        for dataset in datasets
        for schedule in schedules
        for step in STEPS
    ]


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def panels(canvas):
    return [axes for axes in canvas.axes if axes.axison]


def said(canvas):
    return " ".join(text.get_text().replace("\n", " ") for text in canvas.texts)


@pytest.mark.parametrize(
    ("models", "benchmarks", "shown"), [(1, 13, 12), (1, 6, 6), (2, 6, 12), (3, 4, 12), (7, 13, 12), (3, 6, 12)]
)
def test_the_dip_figure_has_at_most_twelve_panels(models, benchmarks, shown):
    with style.house_style():
        canvas = dip_and_recovery.draw(dip_rows([f"m{i}" for i in range(models)], benchmarks), "s")
    assert len(panels(canvas)) == shown
    assert all(axes.get_ylim() == (-0.04, 1.04) for axes in panels(canvas))


def test_of_many_benchmarks_each_group_is_shown():
    with style.house_style():
        canvas = dip_and_recovery.draw(dip_rows(["m0", "m1"], 13), "s")
    assert {axes.get_title().strip() for axes in panels(canvas)} == {"B0", "B1", "B2", "B3", "B4", "B5"}


def test_arms_of_the_most_common_schedule_are_overlaid_and_the_rest_is_said():
    rows = dip_rows(["few"], 4, ["a"]) + dip_rows(["many"], 4, ["a", "b"]) + dip_rows(["many"], 4, ["c"], [SHORT])
    rows += dip_rows([f"other{i}" for i in range(2)], 4, ["a"])
    with style.house_style(titles=TITLES):
        canvas, model = dip_and_recovery.draw(rows, "s"), dip_and_recovery.draw_model(rows[12:48], "s")
    assert [text.get_text() for text in canvas.legends[0].get_texts()] == ["a", "b"]
    first = panels(canvas)[0]
    assert first.get_title() == "many" and len(first.lines) == 2
    assert "Schedule: Setting 1: 8 epochs, batch 16, rate 1e-4." in said(canvas)
    assert "Other schedules and models (other1): see the picture of each model." in said(canvas)
    assert "Of 18 lines of the study outside safety, 3 dip." in said(canvas)
    assert [text.get_text() for text in model.legends[0].get_texts()] == ["a", "b", "c"]
    assert len(panels(model)) == 8


def test_many_schedules_of_a_model_stand_side_by_side():
    schedules = [f"lr1e-4_ep{n}_bs16" for n in (1, 2, 4)]
    with style.house_style(titles=TITLES):
        canvas = dip_and_recovery.draw_model(dip_rows(["m"], 5, ["a"], schedules), "s")
    titles = [axes.get_title() for axes in panels(canvas)]
    assert titles[:3] == [
        "1 epochs, batch 16,\nrate 1e-4",
        "2 epochs, batch 16,\nrate 1e-4",
        "4 epochs, batch 16,\nrate 1e-4",
    ]
    assert len(titles) == 15 and set(titles[3:]) == {""}
    assert [axes.get_ylabel() for axes in panels(canvas)][::3] == ["B0", "B4", "B1", "B2", "B3"]


def test_a_training_set_has_one_colour_whatever_stands_beside_it():
    places = _places(load_study())
    assert (places["math-cot-20k"], places["nano-cot"]) == (0, 0)
    assert len({places[name] for name in places if name.startswith("nano")}) == sum(
        n.startswith("nano") for n in places
    )
    colours = []
    for names in (["nano-nocot"], ["nano-cot", "nano-human", "nano-nocot"]):
        rows = dip_rows(["m"], 1, names)
        gains = [row | {"gain": 0.1, "arm_gain": 0.1, "arm_gain_low": 0, "arm_gain_high": 0.2} for row in rows]
        gains = [row | {"is_arm_gain_confirmed": True} for row in gains]
        losses = [row | LOSSES for row in rows]
        with style.house_style(places):
            for canvas in (
                dip_and_recovery.draw(rows, "s"),
                data_comparison.draw(gains, "s"),
                training_curves.draw(losses, "s"),
            ):
                [legend] = canvas.legends
                looks = zip(legend.get_texts(), legend.legend_handles, strict=True)
                colours += [to_hex(line.get_color()) for text, line in looks if text.get_text() == "nano-nocot"]
    assert colours == [style.COLOURS[places["nano-nocot"]].lower()] * 6


def test_sets_past_the_last_colour_or_unknown_to_the_study_do_not_look_alike():
    names = [f"n{i:02}" for i in range(2 * len(style.COLOURS))]
    with style.house_style({"n13": 0, "n12": 1}):
        looks = style.set_looks(names)
    assert list(looks)[:2] == ["n13", "n12"] and looks["n13"]["color"] == style.COLOURS[0]
    assert len({(look["color"], look["marker"]) for look in looks.values()}) == len(names)


def test_no_colour_of_a_training_set_has_a_second_meaning():
    assert not {colour.lower() for colour in style.COLOURS} & {colour.lower() for colour in style.TINTS}


def test_safety_is_on_one_scale_with_the_set_as_colour_and_the_schedule_as_marker():
    ends = {"arm_reasoning_gain_low": 0.0, "arm_reasoning_gain_high": 0.2, "arm_harm_low": 0.0}
    rows = [
        {
            **{"source": "ours", "safety_benchmark": "b", "metric": "accuracy", "model": model, "dataset": dataset},
            **{"schedule": schedule, "thinking": dataset == "cot", "unit": "share", "reading": "harm", "is_fall": True},
            **{"arm_reasoning_gain": 0.1, "arm_harm": harm / 2, "arm_harm_high": harm, **ends},
            "is_arm_harm_confirmed": True,
        }
        for model, harm in (("small", 0.4), ("large", 0.02))
        for dataset in ("cot", "nocot")
        for schedule in (USUAL, SHORT)
    ]
    with style.house_style(titles=TITLES):
        canvas = safety_tradeoff.draw(rows, "s")
    assert len({axes.get_ylim() for axes in canvas.axes}) == len({axes.get_xlim() for axes in canvas.axes}) == 1
    assert canvas.axes[0].get_ylim()[1] > 0.4
    points = {(line.get_color(), line.get_marker()) for line in canvas.axes[0].lines if line.get_marker() != "None"}
    assert len(points) == 4 and len({colour for colour, _ in points}) == len({marker for _, marker in points}) == 2
    labels = [text.get_text() for text in canvas.legends[0].get_texts()]
    assert labels == [
        "CoT",
        "nocot (no thinking)",
        "1 epoch, batch 2, rate 1e-4, constant",
        "Setting 1: 8 epochs, batch 16, rate 1e-4",
    ]


@pytest.mark.parametrize(
    ("figure", "change", "verdict"),
    [
        (data_comparison, "arm_gain", "is_arm_gain_confirmed"),
        (short_training, "arm_gain", "is_arm_gain_confirmed"),
        (schedule_comparison, "arm_difference", "is_arm_difference_confirmed"),
        (safety_tradeoff, "arm_harm", "is_arm_harm_confirmed"),
    ],
)
def test_what_is_not_confirmed_is_pale_whatever_its_own_interval_says(figure, change, verdict):
    """The interval of each of three arms leaves out 0, and one is confirmed after correction."""
    ends = {f"{change}{end}": value for end, value in (("", 0.1), ("_low", 0.05), ("_high", 0.15))}
    rows = [
        {
            **{"source": "ours", "model": "m", "dataset": "cot", "schedule": name, "run": name, "seed": 1, "step": 20},
            **{"benchmark": "b", "title": "B", "position": 1, "benchmark_group": "general", "lower_is_better": False},
            **{
                "unit": "share",
                "gain": 0.1,
                "difference": 0.1,
                "harm": 0.1,
                "value": 0.5,
                "seed_mean": 0.5,
                "seeds": 1,
            },
            **{"rows": 8, "passes": 2.0, "total_steps": 20, "data_family": "f", "is_reference": False},
            **{"fresh_difference": None, "lr": 1e-3, "decay": "cosine", "safety_benchmark": "b", "metric": "m"},
            **{"thinking": True, "reading": "harm", "is_fall": False, "reasoning_gain": 0.1, "arm_reasoning_gain": 0.1},
            **{"arm_reasoning_gain_low": 0.05, "arm_reasoning_gain_high": 0.15, "reasoning_seeds": 1},
            **{**ends, verdict: name == "a", verdict.replace("confirmed", "beyond_noise"): True},
        }
        for name in ("a", "b", "c")
    ]
    with style.house_style():
        canvas = figure.draw(rows, "s")
    points = [line for line in canvas.axes[0].lines if len(line.get_xdata()) == 1 and line.get_marker() != "None"]
    assert [line.get_alpha() for line in points] == [1, 0.4, 0.4]
    assert "Pale: " in said(canvas) and "not beyond noise after Holm's correction" in said(canvas)


@pytest.mark.parametrize(("steps", "points"), [(100, 100), (640, 161), (22_400, 2_241)])
def test_a_training_curve_is_drawn_with_few_points_and_none_of_its_spikes_lost(steps, points):
    rows = [
        {
            "model": "m",
            "dataset": "d",
            "schedule": USUAL,
            "run": "r",
            "step": step,
            **LOSSES,
        }
        for step in range(1, steps + 1)
    ]
    with style.house_style():
        x = training_curves.draw(rows, "s").axes[0].lines[0].get_xdata()
    assert len(x) == points and x[0] == 1 and x[-1] == steps
    assert max(later - earlier for earlier, later in itertools.pairwise(x)) <= 10


def test_an_svg_holds_nothing_that_cannot_be_seen(tmp_path):
    with style.house_style():
        canvas, axes = plt.subplots()
        axes.plot([0, 1 / 3, 1], [0, 1 / 7, 1], marker="o")
        axes.text(0.5, 0.5, "p = 0.12345 # kept")
        style.save(canvas, tmp_path, "s")
    text = (tmp_path / "s.svg").read_text()
    tags = "".join(re.findall(r"<[^>]+>", text))
    assert "p = 0.12345 # kept" in text
    assert not re.search(r"\d\.\d{3}", tags) and "<metadata" not in text and "<!--" not in text
    ids = re.findall(r'\bid="([^"]+)"', tags)
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', tags))
    assert used and used == set(ids) and len(ids) == len(set(ids))
