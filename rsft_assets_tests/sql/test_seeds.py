"""Several training seeds of one arm: what the tables, sentences and figures make of them."""

import math
import re

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import stats

from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.figures import short_training
from rsft_assets.steps.figures.catalogue import FIGURES
from rsft_assets.steps.figures.draw import draw_figures, rows_of
from rsft_assets.steps.questions.trace import trace
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.report.answer import difference_of
from rsft_assets.steps.report.write import answers_of
from rsft_assets.steps.results.build import build_results
from rsft_assets.steps.results.publishing import open_results, read_results
from rsft_assets_tests.finished_study import finish
from rsft_assets_tests.wide_study import SEEDS, wide_study

COT, NOCOT = "wide-1m_wide-cot_lr1e-3_ep4_bs16", "wide-1m_wide-nocot_lr1e-3_ep4_bs16"
ONCE, FEW = "wide-1m_wide-cot_lr1e-3_ep1_bs4", "wide-1m_wide-few_lr1e-3_ep4_bs4"
SHORT = "wide-1m_wide-cot_lr1e-3_ep1_bs16"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("wide"))
    finish(wide_study(), store, "wide")
    assert build_results(wide_study(), store).failures == ()
    return store


@pytest.fixture(scope="module")
def ask(wide):
    with open_results(wide) as db:

        def one(query):
            cursor = db.execute(query)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

        yield one


@pytest.fixture(scope="module")
def answers(wide):
    with open_results(wide) as db:
        return {answer.name: answer for answer in answers_of(db, "wide", read_results(wide))}


def run_of(arm, seed):
    return arm if seed == 1 else f"{arm}_seed{seed}"


def item_scores(store, run, step, benchmark="wide-sums"):
    table = pq.read_table(store.require(Ref(f"scores/wide-1m/{benchmark}", f"{run}|{step}")).file("graded.parquet"))
    return {row["item_id"]: row["value"] for row in table.to_pylist() if row["grader"] == "authors"}


def test_the_interval_of_an_arm_holds_items_and_seeds(ask, wide):
    row = ask(
        f"SELECT * FROM marts.data_comparison WHERE run = '{NOCOT}' AND benchmark = 'wide-sums' AND grader = 'authors'"
    )[0]
    changes = []
    for seed in SEEDS:
        mine = item_scores(wide, run_of(NOCOT, seed), 40)
        theirs = item_scores(wide, run_of(COT, seed), 40)
        changes.append([mine[item] - theirs[item] for item in sorted(mine)])
    by_seed_and_item = np.array(changes)
    items = by_seed_and_item.mean(axis=0)
    n, samples = len(items) + 2, len(SEEDS)
    centre = items.sum() / n
    item_variance = (((items**2).sum() + 1 / samples) / n - centre**2) / n
    seed_variance = by_seed_and_item.mean(axis=1).var(ddof=1) / len(SEEDS)
    freedom = (item_variance + seed_variance) ** 2 / (item_variance**2 / (n - 1) + seed_variance**2 / (len(SEEDS) - 1))
    half = stats.t.ppf(0.975, freedom) * math.sqrt(item_variance + seed_variance)
    assert row["seeds"] == 3
    assert row["arm_method"] == "items and training seeds"
    assert row["arm_difference"] == pytest.approx(by_seed_and_item.mean())
    assert row["arm_difference_low"] == pytest.approx(centre - half, rel=0.01)
    assert row["arm_difference_high"] == pytest.approx(centre + half, rel=0.01)


def test_an_arm_of_one_seed_keeps_that_seeds_interval_and_says_so(ask):
    rows = ask("SELECT * FROM marts.data_comparison WHERE dataset = 'wide-human' AND grader = 'strict'")
    assert len(rows) == 3
    for row in rows:
        assert row["arm_difference_low"] == row["difference_low"]
        assert (row["arm_method"], row["method"]) == ("items", "paired items")


def test_every_arm_is_compared_with_one_reference_whatever_its_seeds(ask):
    rows = ask("SELECT DISTINCT model, schedule, reference FROM marts.data_comparison WHERE source = 'ours'")
    assert len({(row["model"], row["schedule"]) for row in rows}) == len(rows)
    alone = ask(f"SELECT DISTINCT reference_run FROM marts.data_comparison WHERE run = '{run_of(COT, 3)}'")
    assert [row["reference_run"] for row in alone] == [run_of(COT, 3)]


def test_an_arm_dips_and_recovers_as_one(ask):
    rows = ask(
        "SELECT run, seeds, arm_peak_step, arm_valley_step, is_arm_valley_beyond_noise, arm_valley_seeds "
        f"FROM marts.dip_and_recovery WHERE benchmark = 'wide-sums' AND grader = 'strict' AND (run LIKE '{COT}%' "
        f"OR run = '{NOCOT}')"
    )
    held = {row.pop("run"): row for row in rows}
    for seed in SEEDS:
        dip = {"seeds": 3, "arm_peak_step": 5, "arm_valley_step": 10, "arm_valley_seeds": 3}
        assert held[run_of(COT, seed)] == {**dip, "is_arm_valley_beyond_noise": True}
    assert held[NOCOT]["is_arm_valley_beyond_noise"] is False


def test_thinking_is_set_beside_the_same_rows_without_it(ask):
    row = ask(f"SELECT * FROM marts.safety_tradeoff WHERE run = '{COT}' AND grader = 'strict' AND is_headline")[0]
    assert row["twin_run"] == NOCOT
    assert row["is_harm_over_twin_beyond_noise"] and row["harm_over_twin_low"] > 0.2
    assert row["reasoning_seeds"] == row["seeds"] == 3
    low, high = row["arm_reasoning_gain_low"], row["arm_reasoning_gain_high"]
    assert low < row["arm_reasoning_gain"] < high


def test_equal_steps_are_compared_seed_by_seed(ask):
    rows = ask(
        "SELECT * FROM marts.schedule_comparison WHERE benchmark = 'wide-dot' AND grader = 'strict' AND source = 'ours'"
    )
    assert {row["reference"] for row in rows if row["total_steps"] == 40} == {COT}
    once = [row for row in rows if row["run"].startswith(ONCE)]
    assert {row["seeds"] for row in once} == {3} and len(once) == 3
    assert all(row["is_arm_beyond_noise"] and row["arm_difference"] < 0 for row in once)


def test_repetition_alone_is_few_rows_against_many_seen_once(ask, answers, wide):
    rows = ask("SELECT * FROM marts.schedule_comparison WHERE source = 'ours' AND grader = 'strict' AND is_headline")
    assert {(row["run"], row["fresh_run"]) for row in rows if row["fresh"]} == {(FEW, ONCE)}
    pairs = {row["benchmark"]: row for row in rows if row["run"] == FEW}
    assert pairs.keys() == {"wide-sums", "wide-dot", "wide-refusal"}
    for row in pairs.values():
        assert row["rows"] * row["passes"] == row["fresh_rows"] * row["fresh_passes"] == row["rows_read"]
        assert (row["fresh_rows"], row["fresh_passes"], row["fresh_seeds"]) == (160, 1, 1)
        assert row["fresh_difference_low"] < row["fresh_difference"] < row["fresh_difference_high"]
        low, high = row["fresh_difference_low"], row["fresh_difference_high"]
        assert row["is_fresh_beyond_noise"] == (low > 0 or high < 0)
    authors = ask(f"SELECT * FROM marts.schedule_comparison WHERE run = '{FEW}' AND grader = 'authors'")
    few, once = item_scores(wide, FEW, 40), item_scores(wide, ONCE, 40)
    [sums] = [row for row in authors if row["benchmark"] == "wide-sums"]
    assert sums["fresh_difference"] == pytest.approx(np.mean([few[item] - once[item] for item in few]))
    said = answers["repetition"].sentences
    assert said[0].startswith(f"Repetition alone, {FEW} (40 rows, 4 passes) against {ONCE} (160 rows, 1 pass), equal ")
    sums = pairs["wide-sums"]
    low, high = 100 * sums["fresh_difference_low"], 100 * sums["fresh_difference_high"]
    assert f"{FEW} against {ONCE}: {100 * sums['fresh_difference']:+.1f} points" in said[1]
    assert f"(95 % interval {low:+.1f} to {high:+.1f})" in said[1]
    assert answers["repetition"].traces[said[1]] == f"scores/wide-1m/wide-sums[{FEW}|40]"


def test_what_an_arm_was_trained_on_is_in_domain_for_it(ask, answers):
    for mart in ("data_comparison", "dip_and_recovery"):
        rows = ask(f"SELECT DISTINCT dataset, benchmark, benchmark_group, run_group FROM marts.{mart}")
        moved = {(row["dataset"], row["benchmark"]) for row in rows if row["run_group"] != row["benchmark_group"]}
        assert moved == {("wide-countdown", "wide-sums")}
    generalised = answers["generalised"]
    mine = [row for row in generalised.rows if row["benchmark"] == "wide-sums" and row["dataset"] != "wide-countdown"]
    assert generalised.sentences[0].startswith(f"In domain: of {len(mine)} arm-benchmark pairs")
    said = " ".join(generalised.sentences)
    assert "for wide-countdown that is no benchmark, and Wide sums is out of domain." in said


def test_bases_of_other_pretraining_are_no_other_size(ask, answers):
    rows = ask("SELECT DISTINCT model, mixture FROM marts.capability_curves WHERE source = 'ours'")
    assert {row["model"] for row in rows if row["mixture"] == "nano-skills"} == {"wide-plain"}
    said = answers["size"].sentences
    pairs = {tuple(re.findall(r"(wide-[\w.]+) \(([\w-]+)\)", sentence)[:2]) for sentence in said}
    assert pairs == {
        (("wide-3m", "nano-skills-little"), ("wide-0.3m", "nano-skills-little")),
        (("wide-1m", "nano-skills-little"), ("wide-plain", "nano-skills")),
    }
    assert "one pretraining" in " ".join(answers["size"].missing)


def test_two_models_gain_alike_where_their_intervals_say_so(answers):
    rows = {(row["model"], row["title"]): row for row in answers["size"].rows}
    [said] = [sentence for sentence in answers["size"].sentences if sentence.startswith("wide-3m")]
    numbers = 0
    for title in {title for _, title in rows}:
        large, small = rows["wide-3m", title], rows["wide-0.3m", title]
        apart = large["arm_gain"] - small["arm_gain"]
        told = re.search(rf"{title} by ([+-][\d.]+) points \(95 % interval ([+-][\d.]+) to ([+-][\d.]+)\)", said)
        if told:
            numbers += 1
            low, high = float(told[2]), float(told[3])
            assert float(told[1]) == pytest.approx(100 * apart, abs=0.06)
            assert low < float(told[1]) < high and (low > 0 or high < 0)
            widths = [row["arm_gain_high"] - row["arm_gain_low"] for row in (large, small)]
            assert high - low == pytest.approx(100 * math.hypot(*widths), rel=0.1)
    alike = int(re.search(r"apart on (\d) of", said)[1])
    assert numbers + alike == len({title for _, title in rows})


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ((0.5, 0.4, 0.6), (0.1, 0.1, 0.1), (0.4, 0.3, 0.5)),
        ((0.0, -0.3, 0.3), (0.0, -0.4, 0.4), (0.0, -0.5, 0.5)),
        # What lies far below its value pulls the lower end only.
        ((0.5, 0.1, 0.5), (0.2, 0.2, 0.2), (0.3, -0.1, 0.3)),
        ((0.5, None, None), (0.2, 0.1, 0.3), None),
        ((None, None, None), (0.2, 0.1, 0.3), None),
    ],
)
def test_a_difference_of_two_numbers_takes_both_intervals(one, other, apart):
    found = difference_of(one, other)
    assert found == (pytest.approx(apart) if apart else None)


def test_shorter_and_longer_training_stand_beside_the_usual_one(ask, answers, wide):
    query = "SELECT * FROM marts.schedule_comparison WHERE source = 'ours' AND grader = 'strict' AND is_headline"
    rows = [row for row in ask(query) if row["usual"]]
    assert {(row["run"], row["usual_run"], row["total_steps"], row["usual_steps"]) for row in rows} == {
        (SHORT, COT, 10, 40)
    }
    [sums] = [row for row in rows if row["benchmark"] == "wide-sums"]
    authors = ask(f"SELECT * FROM marts.schedule_comparison WHERE run = '{SHORT}' AND grader = 'authors'")
    short, usual = item_scores(wide, SHORT, 10), item_scores(wide, COT, 40)
    [theirs] = [row for row in authors if row["benchmark"] == "wide-sums"]
    assert theirs["usual_difference"] == pytest.approx(np.mean([short[item] - usual[item] for item in short]), abs=1e-9)
    assert sums["difference"] is None, "it is the only one of its length"
    [said] = [sentence for sentence in answers["repetition"].sentences if sentence.startswith("Shorter training")]
    assert said.startswith(f"Shorter training, {SHORT} (10 steps, rate 1e-3, cosine) against {COT} (40 steps)")
    beyond = [
        row["title"] for row in rows if row["is_usual_difference_confirmed"] and row["benchmark_group"] != "safety"
    ]
    assert [title for title in beyond if title not in said] == []
    compared = [row for row in rows if row["benchmark_group"] != "safety"]
    up = sum(row["is_usual_difference_confirmed"] and row["usual_difference"] > 0 for row in compared) or "none"
    down = sum(row["is_usual_difference_confirmed"] and row["usual_difference"] < 0 for row in compared) or "none"
    lines = answers["repetition"].short.splitlines()
    assert f"that is used most: better in {up} and worse in {down} of {len(compared)} comp" in lines[-1]
    assert lines[-1].startswith("Shorter training") and not any(line.startswith("Longer") for line in lines)


def test_the_figure_of_short_training_holds_each_short_run_and_the_usual_one_of_its_seed(wide):
    [figure] = [figure for figure in FIGURES if figure.name == "short_training"]
    with open_results(wide) as db:
        rows = rows_of(db, figure, "wide")
    assert {(row["run"], row["step"]) for row in rows} == {(SHORT, 10), (COT, 40)}
    canvas = short_training.draw(rows, "wide")
    titles = [axes.get_title().strip() for axes in canvas.axes if axes.get_title()]
    assert len(titles) == len({row["benchmark"] for row in rows}) > 2


def test_sentences_speak_of_arms_and_their_seeds(answers):
    said = {name: " ".join(answer.sentences) for name, answer in answers.items()}
    assert "again beyond noise (in every seed in 3 of 3 with several training seeds)" in said["long_enough"]
    assert f"{COT} on Wide sums: from step 5 to step 10 -" in said["long_enough"]
    assert "wide-nocot against wide-cot in domain, over 3 training seeds: worse on Wide sums" in said["which_data"]
    assert f"{ONCE} (160 rows, 1 pass)" in said["repetition"]
    assert "over 3 training seeds: with thinking it is more, beyond noise." in said["safety"]
    assert "8 arms here have one training seed only" in " ".join(answers["generalised"].missing)


def test_a_number_of_an_arm_leads_to_every_seed(wide, answers):
    [row] = [row for row in answers["which_data"].rows if row["arm"] == NOCOT and row["benchmark"] == "wide-dot"]
    asset, _, where = row["trace"].rstrip("]").partition("[")
    node = trace(wide_study(), wide, asset, where)
    assert node.problems == []
    titles = [place.title for place in node.walk()]
    assert {f"scores/wide-1m/wide-dot[{run_of(NOCOT, seed)}|40]" for seed in SEEDS} <= set(titles)
    assert "queries/wide-sums" in titles


@pytest.mark.slow
def test_every_figure_can_hold_a_crowded_study(wide):
    drawn = {output.manifest.ref.name: output for output in draw_figures(wide_study(), wide)}
    assert drawn.keys() == {figure.name for figure in FIGURES}
    figure = drawn["dip_and_recovery"]
    for name, said in (
        ("wide", ("Dip and recovery: wide study", "mean over training seeds", "4 epochs, batch 16")),
        ("wide.wide-1m", ("Dip and recovery: wide study, wide-1m", "Thin lines: training seeds")),
    ):
        picture = " ".join(re.findall(r">([^<>]*\S)\s*<", figure.file(f"{name}.svg").read_text()))
        assert [words for words in said if words not in picture] == []
    # One sample an item, and nothing that was published.
    missing = [name for name, output in drawn.items() if "wide" in output.stats["not_available"]]
    assert missing == ["pass_at_k", "reproduction_gap"]
