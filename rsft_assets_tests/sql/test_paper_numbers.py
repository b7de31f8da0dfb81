"""The paper's published numbers, through the same marts as ours: its statements must come out of them."""

import re

import pytest
from scipy import stats

from rsft_assets.steps.figures import short_training
from rsft_assets.steps.figures.catalogue import FIGURES
from rsft_assets.steps.figures.draw import rows_of
from rsft_assets.steps.report.answer import Tables
from rsft_assets.steps.report.enough import long_enough
from rsft_assets.steps.report.outcomes import generalised
from rsft_assets.steps.results.publishing import open_results


@pytest.fixture(scope="module")
def ask(finished):
    with open_results(finished) as db:
        yield lambda query: db.execute(query).fetchall()


def test_qwen3_1_7b_dips_at_step_40_on_math500(ask):
    rows = ask(
        "SELECT peak_step, dip_step, is_dip_beyond_noise FROM marts.dip_and_recovery "
        "WHERE source = 'paper' AND run = 'qwen3-1.7b_math-cot-20k_lr5e-5_ep8_bs256' AND benchmark = 'math500'"
    )
    assert rows == [(0, 40, True)]


def test_qwen3_4b_recovers_and_ends_above_its_base(ask):
    rows = ask(
        "SELECT benchmark, recovery_step IS NOT NULL FROM marts.dip_and_recovery WHERE source = 'paper' "
        "AND run = 'qwen3-4b_math-cot-20k_lr5e-5_ep8_bs256' AND benchmark IN ('math500', 'gpqa_diamond', 'mmlu_pro')"
    )
    assert sorted(rows) == [("gpqa_diamond", True), ("math500", True), ("mmlu_pro", True)]
    gains = ask(
        "SELECT benchmark FROM marts.score_trajectories WHERE source = 'paper' AND is_last AND is_headline "
        "AND run = 'qwen3-4b_math-cot-20k_lr5e-5_ep8_bs256' AND difference_low > 0"
    )
    assert {"math500", "gpqa_diamond", "mmlu_pro"} <= {row[0] for row in gains}


def test_repeating_few_rows_beats_one_pass_over_many(ask):
    """Table 1: Setting 2 (2.5k rows, eight passes) above Setting 3 (20k rows, one pass), both under Setting 1."""
    rows = ask(
        "SELECT benchmark, max(value) FILTER (WHERE dataset = 'math-cot-2.5k'), "
        "max(value) FILTER (WHERE passes = 1), max(value) FILTER (WHERE is_reference) "
        "FROM marts.schedule_comparison WHERE source = 'paper' AND is_headline AND total_steps = 640 "
        "AND benchmark IN ('math500', 'aime24', 'lcb_v2', 'gpqa_diamond', 'mmlu_pro', 'ifeval') GROUP BY benchmark"
    )
    assert len(rows) == 6
    for benchmark, few, one_pass, full in rows:
        assert one_pass < few <= full, benchmark


def test_short_training_stands_beside_the_usual_one(finished):
    """Figure 2: one epoch gains less in mathematics than eight, and falls below the base in following instructions."""
    [figure] = [figure for figure in FIGURES if figure.name == "short_training"]
    with open_results(finished) as db:
        rows = rows_of(db, figure, "paper")
    assert {row["schedule"] for row in rows} == {"lr5e-5_ep1_bs256", "lr5e-5_ep8_bs256"}
    short, usual = ({row["benchmark"]: row for row in rows if row["step"] == step} for step in (80, 640))
    assert short.keys() == {"math500", "aime24", "ifeval", "truthfulqa"} < usual.keys()
    assert 0 < short["math500"]["arm_gain"] < usual["math500"]["arm_gain"]
    assert short["ifeval"]["arm_gain"] < 0 < usual["ifeval"]["arm_gain"]
    canvas = short_training.draw(rows, "paper")
    titles = {axes.get_title().strip() for axes in canvas.axes if axes.get_title()}
    assert titles == {row["title"] for row in short.values()}, "what has no short training has no panel"


def test_a_run_in_another_precision_is_no_other_schedule(ask):
    """The 1.7B run is declared in two; only the 14B has schedules to compare."""
    assert ask("SELECT DISTINCT model FROM marts.schedule_comparison WHERE study = 'paper'") == [("qwen3-14b",)]


def test_long_traces_teach_more_than_short_ones(ask):
    rows = ask(
        "SELECT benchmark, max(gain) FILTER (WHERE dataset = 'math-cot-20k'), "
        "max(gain) FILTER (WHERE dataset = 'math-nocot-20k') FROM marts.data_comparison "
        "WHERE source = 'paper' AND model = 'qwen3-14b' AND schedule = 'lr5e-5_ep8_bs256' "
        "AND benchmark IN ('math500', 'aime24', 'gpqa_diamond') AND is_headline GROUP BY benchmark"
    )
    assert len(rows) == 3
    assert all(cot > nocot for _, cot, nocot in rows)


def test_stronger_models_gain_where_the_weakest_loses(ask):
    rows = ask(
        "SELECT model, gain FROM marts.capability_curves WHERE source = 'paper' AND dataset = 'math-cot-20k' "
        "AND schedule = 'lr5e-5_ep8_bs256' AND benchmark = 'gpqa_diamond'"
    )
    gains = dict(rows)
    assert gains["qwen3-1.7b"] < 0 < min(gains["qwen3-4b"], gains["qwen3-8b"], gains["qwen3-14b"])


@pytest.mark.parametrize("model", ["qwen3-4b", "qwen3-8b", "qwen3-14b", "internlm2.5-20b"])
def test_verified_long_traces_beat_every_other_set_in_domain(ask, model):
    """Table 2: above NoCoT, above NuminaMath's human solutions, above Countdown."""
    gains = dict(
        ask(
            f"SELECT dataset, gain FROM marts.data_comparison WHERE source = 'paper' AND model = '{model}' "
            "AND schedule = 'lr5e-5_ep8_bs256' AND benchmark = 'math500' AND is_headline"
        )
    )
    assert len(gains) >= 3
    assert max(gains, key=gains.get) == "math-cot-20k"


def test_solutions_by_people_cost_what_long_traces_gain(ask):
    rows = ask(
        "SELECT model, dataset, difference FROM marts.data_comparison WHERE source = 'paper' "
        "AND dataset = 'numinamath-20k' AND benchmark = 'lcb_v2' AND beyond_noise"
    )
    assert {model for model, _, difference in rows if difference < 0} == {"qwen3-8b", "qwen3-14b", "internlm2.5-20b"}


def test_a_game_teaches_reasoning_that_transfers(ask):
    """Countdown traces hold no mathematics of the benchmarks, and still raise them for models of 4 B and more."""
    rows = ask(
        "SELECT model, benchmark FROM marts.data_comparison WHERE source = 'paper' AND dataset = 'countdown-cot-20k' "
        "AND benchmark IN ('math500', 'gpqa_diamond', 'mmlu_pro') AND gain_low > 0"
    )
    assert {("qwen3-4b", "math500"), ("qwen3-14b", "math500"), ("qwen3-14b", "gpqa_diamond")} <= set(rows)


def test_repetition_comes_out_of_the_corrected_comparison_too(ask):
    rows = dict(
        ask(
            "SELECT benchmark, arm_difference_high FROM marts.schedule_comparison WHERE source = 'paper' "
            "AND passes = 1 AND total_steps = 640 AND is_headline AND is_arm_beyond_noise"
        )
    )
    assert {"lcb_v2", "gpqa_diamond", "truthfulqa"} <= rows.keys() and all(high < 0 for high in rows.values())


SETTING_2 = "qwen3-14b_math-cot-2.5k_lr5e-5_ep8_bs32"


def holding(ask, mart, verdict, single):
    """What is beyond noise by itself: (what holds among all that was compared, what does not), as (run, benchmark)."""
    rows = ask(
        f"SELECT run, benchmark, {verdict} FROM marts.{mart} WHERE source = 'paper' AND is_headline AND {single} "
        "AND benchmark_group <> 'safety'"
    )
    return {row[:2] for row in rows if row[2]}, {row[:2] for row in rows if not row[2]}


def test_which_of_the_papers_gains_hold_among_all(ask):
    hold, fall = holding(ask, "data_comparison", "is_arm_gain_confirmed", "is_arm_gain_beyond_noise")
    assert (len(hold), len(fall)) == (52, 19)
    countdown = "qwen3-14b_countdown-cot-20k_lr5e-5_ep8_bs256"
    assert {("qwen3-4b_countdown-cot-20k_lr5e-5_ep8_bs256", "math500"), (countdown, "math500")} <= hold
    assert {(countdown, "gpqa_diamond"), (countdown, "lcb_v2"), (countdown, "aime24")} <= fall


def test_which_of_the_papers_comparisons_of_sets_hold_among_all(ask):
    hold, fall = holding(ask, "data_comparison", "is_arm_difference_confirmed", "is_arm_beyond_noise")
    assert (len(hold), len(fall)) == (34, 16)
    models = ("qwen3-8b", "qwen3-14b", "internlm2.5-20b")
    assert {(f"{model}_numinamath-20k_lr5e-5_ep8_bs256", "lcb_v2") for model in models} <= hold
    assert ("qwen3-14b_math-nocot-20k_lr5e-5_ep8_bs256", "gpqa_diamond") in fall


def test_that_repetition_alone_is_better_holds_on_one_of_three_benchmarks(ask):
    hold, fall = holding(ask, "schedule_comparison", "is_fresh_difference_confirmed", "is_fresh_beyond_noise")
    assert hold == {(SETTING_2, "truthfulqa")} and fall == {(SETTING_2, "gpqa_diamond"), (SETTING_2, "lcb_v2")}
    one_pass = "qwen3-14b_math-cot-20k_lr5e-5_ep1_bs32"
    hold, fall = holding(ask, "schedule_comparison", "is_arm_difference_confirmed", "is_arm_beyond_noise")
    assert hold == {(one_pass, name) for name in ("lcb_v2", "gpqa_diamond", "ifeval", "truthfulqa")} and not fall


def test_holms_correction_is_over_every_gain_that_has_a_p_value(ask):
    """In the textbook's steps, over the single p values of all arms and benchmarks."""
    rows = ask(
        "SELECT DISTINCT m.run, m.benchmark, a.arm_p, m.arm_gain_holm_p FROM marts.data_comparison m "
        "JOIN staging.score_points p USING (source, run, step, benchmark, grader, metric, protocol) "
        "JOIN staging.arm_differences a ON a.point_id = p.point_id AND a.other_point_id = p.base_point_id "
        "AND a.metric = p.metric WHERE m.source = 'paper' AND m.is_headline AND m.benchmark_group <> 'safety' "
        "AND a.arm_p IS NOT NULL ORDER BY a.arm_p"
    )
    assert len(rows) > 100
    largest = 0.0
    for place, (*_, single, corrected) in enumerate(rows):
        largest = max(largest, min((len(rows) - place) * single, 1))
        assert corrected == pytest.approx(largest, abs=1e-12)


def test_the_report_counts_the_papers_gains_after_the_correction(finished, ask):
    with open_results(finished) as db:
        answer = generalised(Tables(db, "paper"))
    told = [sentence for sentence in answer.sentences if " cannot be told from no change." in sentence]
    numbers = [re.search(r"(\d+) gain and (\d+) lose", sentence) for sentence in told]
    hold, _ = holding(ask, "data_comparison", "is_arm_gain_confirmed", "is_arm_gain_beyond_noise")
    assert sum(int(found[1]) + int(found[2]) for found in numbers) == len(hold)


def test_rows_per_item_were_never_published(ask):
    assert ask("SELECT count(*) FROM marts.score_trajectories WHERE source = 'paper' AND pairs IS NOT NULL") == [(0,)]
    methods = {row[0] for row in ask("SELECT DISTINCT method FROM marts.score_trajectories WHERE source = 'paper'")}
    assert methods == {"the base itself", "unpaired", "no interval"}
    assert ask("SELECT count(*) FROM marts.response_length WHERE study = 'paper'") == [(0,)]


def test_hex_phi_is_not_available_in_any_run(ask):
    said = ask(
        "SELECT DISTINCT regime FROM marts.optimization_regimes WHERE source = 'paper' AND benchmark = 'hex_phi'"
    )
    assert said == [("not available",)]


@pytest.mark.parametrize(
    ("table", "where", "column"),
    [
        ("safety_tradeoff", "source = 'paper'", "state"),
        ("optimization_regimes", "source = 'paper' AND epochs = 16", "regime"),
        ("reproduction_gap", "ours IS NULL", "class"),
    ],
)
def test_what_was_not_published_is_not_available(ask, table, where, column):
    said = {row[0] for row in ask(f"SELECT {column} FROM marts.{table} WHERE {where}")}
    assert said
    assert all(words.startswith("not available") for words in said)


def test_a_fall_that_was_published_without_items_still_has_an_interval(ask):
    rows = ask(
        "SELECT method, fall_low, fall_high FROM marts.dip_and_recovery WHERE source = 'paper' "
        "AND run LIKE 'qwen3-1.7b_math-cot%' AND benchmark = 'math500'"
    )
    assert rows[0][0] == "unpaired"
    assert rows[0][1] < -0.16 < rows[0][2] < 0


DIPS = {
    ("qwen3-1.7b_math-cot-20k_lr5e-5_ep8_bs256", "math500"),
    ("qwen3-4b_math-cot-20k_lr5e-5_ep8_bs256", "ifeval"),
    ("qwen3-4b_math-cot-20k_lr5e-5_ep8_bs256", "truthfulqa"),
}
NOT_AMONG_MANY = ("qwen3-1.7b_math-cot-20k_lr5e-5_ep8_bs256", "mmlu_pro")


def test_which_of_the_papers_dips_hold_among_all_that_were_looked_at(ask):
    rows = ask(
        "SELECT run, benchmark, is_arm_valley_confirmed, arms_asked FROM marts.dip_and_recovery "
        "WHERE source = 'paper' AND is_headline AND is_arm_valley_beyond_noise"
    )
    assert {row[:2] for row in rows if row[2]} == DIPS
    assert {row[:2] for row in rows if not row[2]} == {NOT_AMONG_MANY}
    assert {row[3] for row in rows} == {17}


def test_the_report_says_which_of_the_papers_dips_the_numbers_cannot_carry(finished):
    with open_results(finished) as db:
        answer = long_enough(Tables(db, "paper"))
    assert answer.sentences[0].startswith("Of 17 arm-benchmark pairs, 3 dip and rise again beyond noise, ")
    assert "by the intervals alone the two numbers would be 4 and 0." in answer.sentences[0]
    told = [sentence for sentence in answer.sentences if sentence.startswith("Not confirmed: ")]
    assert len(told) == 14 and all(sentence.count("(95 % interval ") == 2 for sentence in told)
    assert f"{NOT_AMONG_MANY[0]} on MMLU-Pro: from step 0 to step 20 -5.7 points" in told[0]
    assert told[0].endswith("beyond noise by itself, but not as one of 17 (p = 0.61).")
    assert all(sentence.endswith("; within noise.") for sentence in told[1:])


def test_a_model_below_its_base_within_noise_is_not_called_optimal(ask):
    """Qwen3-1.7B ends 4.9 points under its base on GPQA, of which the corrected interval holds 0."""
    rows = ask(
        "SELECT round(gain, 3), gain_low < 0 AND gain_high > 0, regime FROM marts.optimization_regimes "
        "WHERE source = 'paper' AND run = 'qwen3-1.7b_math-cot-20k_lr5e-5_ep8_bs256' AND benchmark = 'gpqa_diamond'"
    )
    assert rows == [(-0.049, True, "undecided: not told from the base")]


def test_the_4b_model_ends_at_its_peak_above_its_base(ask):
    rows = ask(
        "SELECT benchmark FROM marts.optimization_regimes WHERE source = 'paper' AND regime = 'optimal' "
        "AND run = 'qwen3-4b_math-cot-20k_lr5e-5_ep8_bs256'"
    )
    assert {"math500", "mmlu_pro", "gpqa_diamond"} <= {row[0] for row in rows}


def test_a_published_share_at_the_edge_is_not_certain(ask):
    """Wilson's interval for one sample per item, also where none of 30 questions is solved."""
    rows = ask(
        "SELECT DISTINCT value, low, high, se, items FROM staging.score_points WHERE source = 'paper' "
        "AND unit = 'share'"
    )
    assert {row[1:4] for row in rows if row[4] is None} == {(None, None, None)}, "how many items there are is not known"
    rows = [row for row in rows if row[4] is not None]
    assert {row[4] for row in rows if row[0] < 0.1} >= {30}
    for value, low, high, se, items in rows:
        z2 = stats.norm.isf(0.025) ** 2
        middle = (value * items + z2 / 2) / (items + z2)
        assert (low + high) / 2 == pytest.approx(middle, abs=2e-6)
        squared = z2 * (value * (1 - value) * items + z2 / 4) / (items + z2) ** 2
        assert (high - middle) ** 2 == pytest.approx(squared, rel=1e-4)
        assert 0 <= low <= value + 1e-12 and value - 1e-12 <= high <= 1 and se > 0
