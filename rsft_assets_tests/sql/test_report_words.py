"""Sentences on safety, lengths and sets: right for every outcome, and as the tables beneath them say."""

import shutil
from types import SimpleNamespace

import duckdb
import pytest

from rsft_assets.steps.figures import response_length, schedule_comparison
from rsft_assets.steps.figures.style import house_style
from rsft_assets.steps.report.answer import Answer, Tables
from rsft_assets.steps.report.page import MOST_ROWS, page
from rsft_assets.steps.report.write import answers_of, lengths, models, outcomes, safety, training, trust
from rsft_assets.steps.results.publishing import database_path, open_results
from rsft_assets.steps.results.sql_files import macros, sql_folder

COT = "tiny-1m_tiny-cot_lr1e-3_ep4_bs16"


@pytest.fixture
def ask(finished):
    with open_results(finished) as db:

        def one(query):
            cursor = db.execute(query)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

        yield one


@pytest.fixture
def answers(finished):
    with open_results(finished) as db:
        return {answer.name: answer for answer in answers_of(db, "tiny")}


def arm_row(**changed):
    """One arm's row of marts.safety_tradeoff, as the sentences read it."""
    row = {
        **{
            "arm": "m_a_s",
            "model": "m",
            "dataset": "a",
            "schedule": "s",
            "thinking": True,
            "seeds": 1,
            "unit": "share",
        },
        **{"benchmark": "b", "metric": "compliance", "reading": "forbidden requests answered", "is_fall": False},
        **{"arm_harm": 0.1, "arm_harm_low": 0.05, "arm_harm_high": 0.15, "is_arm_harm_confirmed": True},
        **{"twin_dataset": "n", "twin_harm": 0.02, "twin_harm_low": -0.01, "twin_harm_high": 0.05, "twin_seeds": 1},
        **{"harm_over_twin": 0.08, "harm_over_twin_low": 0.03, "harm_over_twin_high": 0.13, "twin_pairs": 1},
        **{"unit": "share", "is_harm_over_twin_confirmed": True, "trace": ""},
    }
    return row | changed


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "with (a) +10.0 points (95 % interval +5.0 to +15.0), without (n) +2.0 points"),
        ({}, "is +8.0 points (95 % interval +3.0 to +13.0) over one training seed: with thinking it is more, beyond"),
        (
            {"harm_over_twin": -0.08, "harm_over_twin_low": -0.13, "harm_over_twin_high": -0.03},
            "with thinking it is less, beyond noise.",
        ),
        ({"harm_over_twin_low": -0.01, "is_harm_over_twin_confirmed": False}, "the two cannot be told apart."),
        (
            {"harm_over_twin_low": None, "harm_over_twin_high": None, "is_harm_over_twin_confirmed": False},
            "(no interval) over one training seed: without an interval the two cannot be told apart.",
        ),
        (
            {"seeds": 3, "twin_pairs": 1},
            "(95 % interval +5.0 to +15.0) over 3 training seeds, without (n) +2.0 points (95 % interval -1.0 to +5.0) "
            "over one training seed; ",
        ),
        ({"reading": "harm", "metric": "accuracy", "is_fall": True}, "in harm (fall of accuracy) on b: "),
    ],
)
def test_a_twin_pair_is_told_whatever_its_outcome(changed, said):
    answer = Answer("safety", "?")
    safety._twins(answer, [arm_row(**changed)])
    [sentence] = answer.sentences
    assert said in sentence
    assert sentence.startswith("The same rows with thinking and without, m under s, in ")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            [arm_row()],
            ["of 1 arm trained with thinking, 1 became worse than the base beyond noise and 0 better; the worst"],
        ),
        (
            [arm_row(arm_harm=-0.1), arm_row(arm="other", is_arm_harm_confirmed=False)],
            ["of 2 arms trained with thinking, 0 became worse than the base beyond noise and 1 better; the worst"],
        ),
        ([arm_row(thinking=False)], ["of 1 arm trained without thinking, 1 became worse"]),
        ([], []),
    ],
)
def test_arms_are_counted_by_what_they_were_trained_on(rows, said):
    answer = Answer("safety", "?")
    safety._harms(answer, rows, "")
    assert len(answer.sentences) == len(said)
    for sentence, words in zip(answer.sentences, said, strict=True):
        assert sentence.startswith("Forbidden requests answered on b: ") and words in sentence


def test_arms_of_other_schedules_are_named_only_where_they_became_less_safe():
    answer = Answer("safety", "?")
    safety._elsewhere(answer, [arm_row(is_arm_harm_confirmed=False), arm_row(arm_harm=-0.2)])
    assert answer.sentences == []
    safety._elsewhere(answer, [arm_row(is_arm_harm_confirmed=False), arm_row(arm="worse")])
    [sentence] = answer.sentences
    assert sentence.startswith("Under other schedules, 1 of 2 arms became worse beyond noise, in forbidden requests")
    assert "m_a_s" not in sentence


@pytest.fixture
def planted(finished, tmp_path):
    """The results, to change, and the rows that a mart's SQL makes of them then."""
    place = tmp_path / "planted.duckdb"
    shutil.copyfile(database_path(finished), place)
    with duckdb.connect(str(place)) as db:

        def rows_of(mart, *changes):
            for change in changes:
                db.execute(change)
            cursor = db.execute((sql_folder() / "marts" / f"{mart}.sql").read_text())
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

        yield rows_of


def test_the_headline_that_mixes_both_kinds_of_request_is_not_read(planted):
    readings = {(row["metric"], row["reading"]) for row in planted("safety_tradeoff") if row["metric"]}
    assert readings == {("attack_success", "harm")}
    tables = {"score_points": ", false AS is_headline", "differences": "", "arm_differences": ""}
    more = [
        f"INSERT INTO staging.{table} SELECT * REPLACE ('{metric}' AS metric{also}) FROM staging.{table} "
        "WHERE metric = 'attack_success'"
        for metric in ("compliance", "over_refusal")
        for table, also in tables.items()
    ]
    readings = {(row["metric"], row["reading"]) for row in planted("safety_tradeoff", *more) if row["metric"]}
    assert readings == {
        ("attack_success", None),
        ("compliance", "forbidden requests answered"),
        ("over_refusal", "allowed requests refused"),
    }


def test_the_twins_own_harm_stands_beside_the_difference(ask):
    strict = "grader = 'strict' AND study = 'tiny'"
    row = ask(f"SELECT * FROM marts.safety_tradeoff WHERE run = '{COT}' AND {strict}")[0]
    [twin] = ask(f"SELECT * FROM marts.safety_tradeoff WHERE run = '{row['twin_run']}' AND {strict}")
    assert row["twin_dataset"] == twin["dataset"] == "tiny-nocot"
    assert (row["twin_harm"], row["twin_harm_low"]) == (twin["arm_harm"], twin["arm_harm_low"])
    assert (row["seeds"], row["twin_seeds"], row["twin_pairs"]) == (2, 1, 1)


def test_a_set_that_answers_anew_has_queries_but_neither_pool_nor_verdicts(planted):
    rows = planted(
        "data_yield",
        "UPDATE declared.datasets SET recipe = 'human-solution', source = 'tiny-sums' WHERE dataset = 'tiny-nocot'",
        "UPDATE staging.dataset_rows SET verdict = NULL WHERE dataset = 'tiny-nocot'",
    )
    told = {row["stage"]: (row["amount"], row["state"]) for row in rows if row["dataset"] == "tiny-nocot"}
    assert told == {
        "queries": (200, "counted"),
        "rows of the set": (160, "counted"),
        "rows judged correct": (None, "not judged"),
    }
    assert {row["state"] for row in rows if row["dataset"] == "tiny-cot"} == {"counted"}


def step_row(step, tokens, seed=1, **changed):
    """One checkpoint's row of marts.response_length."""
    row = {
        **{"model": "m", "dataset": "d", "schedule": "s", "thinking": True, "seed": seed, "run": f"r{seed}"},
        **{"step": step, "title": "T", "benchmark": "b", "run_group": "in-domain", "seeds": 1, "trace": "t"},
        **{"mean_tokens": tokens, "mean_tokens_se": 1.0, "base_mean_tokens": 10.0, "truncation_rate": 0.0},
        **{"arm_mean_tokens": tokens, "arm_mean_tokens_low": tokens - 2, "arm_mean_tokens_high": tokens + 2},
        **{"arm_growth": tokens - 10.0, "arm_growth_real": tokens - 11.0},
        **{"arm_growth_low": tokens - 12.8 if step else None, "arm_growth_high": tokens - 7.2 if step else None},
        **{"arm_growth_se": 2**0.5 if step else None, "arm_growth_freedom": 1000.0, "items": 300},
    }
    return row | changed


def judged_lines(*courses, items=300):
    """One arm for each course of mean tokens, from a base of 10."""
    lines = [
        lengths._line([step_row(0, 10.0), *(step_row(i + 1, value, items=items) for i, value in enumerate(tokens))])
        for tokens in courses
    ]
    with duckdb.connect() as db:
        db.execute(macros())
        lengths._judge(lines, Tables(db, "s"))
    return lines


def test_lengths_are_corrected_for_all_arms_and_benchmarks():
    """Growth of 3.3 and a fall of 3.0 standard errors: enough by themselves, not as one of 31."""
    [alone] = judged_lines((14.7, 10.4))
    first, *others = judged_lines((14.7, 10.4), *[(10.0, 10.0)] * 30)
    assert (alone["grows"], alone["shorter_seeds"]) == (True, 1)
    assert (first["grows"], first["shorter_seeds"]) == (False, 0)
    assert alone["growth_holm_p"] < 0.01 < 0.05 < first["growth_holm_p"] == pytest.approx(31 * alone["growth_holm_p"])
    assert not any(line["grows"] or line["shorter_seeds"] for line in others)


def test_few_items_tell_less_of_a_length():
    """A fall of 3.0 standard errors, with 299 and with 3 degrees of freedom."""
    assert [judged_lines((14.7, 10.4), items=items)[0]["shorter_seeds"] for items in (300, 4)] == [1, 0]


def test_the_freedom_of_a_growth_is_that_of_its_items_and_seeds(ask):
    rows = ask(
        "SELECT r.*, b.items AS declared FROM marts.response_length r "
        "JOIN declared.benchmarks b USING (study, benchmark) WHERE step > 0 AND study = 'tiny' AND arm_growth_se > 0"
    )
    for row in rows:
        found = row["arm_growth_freedom"] * (1 + 1e-9)
        least = row["items"] - 1 if row["seeds"] == 1 else min(row["items"], row["seeds"]) - 1
        assert row["items"] == row["declared"] and least <= found <= 2 * row["items"] + row["seeds"]
    assert {row["seeds"] for row in rows} == {1, 2}


@pytest.mark.parametrize(
    ("tokens", "longest", "shorter", "grows", "said"),
    [
        (
            (30.0, 20.0),
            1,
            1,
            True,
            "30 (95 % interval 28 to 32) at its longest, step 1, 20 (95 % interval 18",
        ),
        ((20.0, 30.0), 2, 0, True, "30 (95 % interval 28 to 32) at the end, step 2, its longest. Of the growth"),
        ((30.0, 29.0), 1, 0, True, "in 0 of 1 training seed the end is shorter than the longest beyond noise."),
        ((9.0, 5.0), 1, 1, False, "No growth over the base is beyond noise."),
        # Beyond noise for one comparison, not for the longest of three.
        ((13.0, 12.0, 12.0), 1, 0, False, "No growth over the base is beyond noise."),
    ],
)
def test_the_course_of_an_arms_answers(tokens, longest, shorter, grows, said):
    [line] = judged_lines(tokens)
    assert (line["longest_step"], line["shorter_seeds"], line["grows"]) == (longest, shorter, grows)
    assert said in lengths._course(line)


def test_only_steps_that_every_seed_reached_are_compared():
    rows = [step_row(0, 10.0, seeds=2), step_row(1, 20.0, seeds=2), step_row(2, 50.0)]
    line = lengths._line([*rows, step_row(1, 20.0, seed=2, seeds=2)])
    assert (line["longest_step"], line["end_step"], line["seeds"]) == (1, 1, 2)


def test_lengths_agree_with_the_table_and_nothing_is_said_to_be_cut_where_nothing_is(answers, ask):
    length = answers["length"]
    assert {row["benchmark"] for row in length.rows} == {"tiny-sums", "tiny-dot", "tiny-harm"}
    assert length.sentences[0].startswith(f"{COT} on Tiny sums: ")
    line = next(row for row in length.rows if row["arm"] == COT and row["benchmark"] == "tiny-sums")
    found = ask(f"SELECT * FROM marts.response_length WHERE run LIKE '{COT}%' AND benchmark = 'tiny-sums' AND step > 0")
    means = {row["step"]: row["arm_mean_tokens"] for row in found}
    assert line["longest_tokens"] == max(means.values()) and line["end_tokens"] == means[40]
    by_hand = [row["mean_tokens"] for row in found if row["step"] == 40]
    assert len(by_hand) == 2 and means[40] == pytest.approx(sum(by_hand) / 2)
    assert "tiny-nocot" in next(words for words in length.sentences if words.startswith("Trained without thinking"))
    cut = max(row["truncation_rate"] for row in ask("SELECT truncation_rate FROM marts.response_length"))
    assert length.sentences[-1].startswith(f"At most {100 * cut:.1f} % of a checkpoint's answers")


def test_seeds_that_disagree_widen_the_interval_of_a_length(ask):
    rows = ask("SELECT * FROM marts.response_length WHERE step > 0 AND study = 'tiny'")
    assert {row["seeds"] for row in rows} == {1, 2}
    for row in rows:
        width = row["arm_mean_tokens_high"] - row["arm_mean_tokens_low"]
        if row["seeds"] == 1:
            assert width == pytest.approx(2 * 1.959964 * row["mean_tokens_se"])
            assert row["arm_growth_low"] == pytest.approx(row["growth_low"])
        else:
            others = [o for o in rows if all(o[k] == row[k] for k in ("arm", "step", "benchmark"))]
            assert width >= 2 * 1.959964 * sum(o["mean_tokens_se"] for o in others) / 2 - 1e-9


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("rows of the set", 0.5)], "its rows were not judged."),
        ([("rows of the set", 0.5), ("rows judged correct", 1.0)], "100.0 % of its rows were judged correct."),
        (
            [
                *(("rows of the set", 1), ("rows judged correct", 0), ("responses wrong", 0.25)),
                *(("responses unparseable", 0.04), ("responses undecided", 0)),
            ],
            "0.0 % of its rows were judged correct; of the responses behind it, 25.0 % were wrong, 4.0 % without a "
            "readable answer and 0.0 % undecided.",
        ),
        ([("responses wrong", 0.25)], None),
    ],
)
def test_sets_are_told_with_what_is_known_of_them(rows, said):
    found = [{"dataset": "d", "stage": stage, "share": share} for stage, share in rows]
    answer = Answer("trusted", "?")
    trust._data(SimpleNamespace(ask=lambda query: found), answer)
    assert answer.sentences == ([f"d: {said}"] if said else [])


@pytest.mark.parametrize(("p", "shown"), [(0.0004, "&lt; 0.001"), (0.0123, "0.012"), (1.0, "1.000"), (None, "–")])
def test_a_p_value_reads_alike_whatever_the_unit_of_its_row(p, shown):
    for unit in ("share", "tokens", "reward"):
        rows = [{"gain_holm_p": p, "unit": unit}]
        answer = Answer("data", "?", ["It is."], columns={"gain_holm_p": "p (Holm)"}, rows=rows, table="marts.t")
        assert f"<td>{shown}</td>" in page("Report", [], [answer], {}, {})


def test_a_table_as_long_as_a_study_is_shown_whole():
    rows = [{"run": f"r{i}"} for i in range(MOST_ROWS + 1)]
    text = page("t", [], [Answer("a", "A?", columns={"run": "run"}, rows=rows)], {}, {})
    assert MOST_ROWS >= 234
    assert f">r{MOST_ROWS - 1}<" in text and f">r{MOST_ROWS}<" not in text and "The first 300 of 301 rows" in text


@pytest.mark.parametrize(("arms", "drawn"), [(13, 13), (16, 16), (17, 16)])
def test_lengths_are_a_column_for_each_benchmark_and_a_row_for_each_arm(arms, drawn):
    parts = dict.fromkeys([column for column, _, _ in response_length.PARTS], 1.0)
    rows = [
        step_row(step, 10.0 + step, dataset=f"d{arm:02}", benchmark=b, title=b.upper(), benchmark_group=group,
                 position=1, growth=1.0, **parts)
        for arm in range(arms) for step in (0, 5)
        for b, group in (("a", "in-domain"), ("b", "ood-reasoning"), ("c", "safety"))
    ]  # fmt: skip
    with house_style():
        canvas = response_length.draw(rows, "s")
    assert [axes.get_title() for axes in canvas.axes[:2]] == ["A", "B"]
    assert len(canvas.axes) == 2 * drawn
    labels = [axes.get_ylabel() for axes in canvas.axes]
    assert labels[::2] == [f"m\nd{arm:02}\ns" for arm in range(drawn)] and set(labels[1::2]) == {""}
    said = " ".join(text.get_text().replace("\n", " ") for text in canvas.texts)
    assert ("The first 16 of 17 arms." in said) == (arms > drawn)


def test_repetition_alone_has_a_row_of_its_own():
    shared = {"source": "ours", "model": "m", "data_family": "d", "total_steps": 40, "benchmark": "b", "title": "B"}
    shared |= {"benchmark_group": "in-domain", "position": 1, "unit": "share", "seeds": 1, "seed": 1, "lr": 1e-3}
    shared |= {"decay": "cosine", "lower_is_better": False, "arm_difference": -0.1, "arm_difference_low": -0.2}
    shared |= {"arm_difference_high": 0.0, "is_reference": False, "fresh_difference": None, "value": 0.5}
    shared |= {"is_arm_difference_confirmed": False, "is_fresh_difference_confirmed": True}
    once = shared | {"dataset": "all", "schedule": "once", "rows": 160, "passes": 1, "seed_mean": 0.5}
    few = shared | {"dataset": "few", "schedule": "four", "rows": 40, "passes": 4, "seed_mean": 0.7}
    few |= {"fresh_difference": 0.2, "fresh_difference_low": 0.1, "fresh_difference_high": 0.3}
    few |= {"fresh_rows": 160, "fresh_passes": 1}
    with house_style():
        canvas = schedule_comparison.draw([once, few], "s")
    [axes] = canvas.axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["160 rows × 1", "40 rows × 4", "repetition alone: \n40 × 4 against 160 × 1"]
    upright = [line.get_xdata()[0] for line in axes.lines if len(set(line.get_ydata())) == 2]
    assert upright == [pytest.approx(0.5)]
    third = few | {"dataset": "third", "benchmark": "c", "position": 2}
    with house_style():
        canvas = schedule_comparison.draw([once, few, once | {"benchmark": "c", "position": 2}, third], "s")
    named, other = canvas.axes
    assert [axes.yaxis.get_tick_params()["labelleft"] for axes in canvas.axes] == [True, False]
    assert list(named.get_yticks()) == list(other.get_yticks()), "a setting stands at one height in every panel"
    assert len(named.get_yticks()) == 5


@pytest.mark.parametrize(
    ("families", "labels"),
    [
        (("cot", "cot"), ["1,280 rows × 8", "1,280 rows × 1"]),
        (("cot", "nocot"), ["cot, 1,280 rows × 8", "nocot, 1,280 rows × 1"]),
    ],
)
def test_settings_of_several_sets_are_named_apart(families, labels):
    shared = {"rows": 1_280, "lr": 1e-4, "decay": "cosine", "source": "ours"}
    rows = [
        shared | {"data_family": family, "passes": passes, "schedule": f"ep{passes}"}
        for family, passes in zip(families, (8, 1), strict=True)
    ]
    assert schedule_comparison._labels(rows) == labels
    with house_style(titles={"ep8": "Setting 1: 8 epochs", "ep1": "1 epoch", "nocot": "NoCoT"}):
        titled = [labels[0].replace("1,280", "Setting 1:\n1,280"), labels[1].replace("nocot", "NoCoT")]
        assert schedule_comparison._labels(rows) == titled


@pytest.mark.parametrize(
    ("schedules", "told"),
    [(("ep8", "ep8"), "Sums (tiny) -20"), (("ep8", "ep1"), "Sums (tiny, ep8) -20")],
)
def test_sets_under_several_schedules_are_told_apart(schedules, told):
    row = {"title": "Sums", "model": "tiny", "unit": "share", "is_arm_difference_confirmed": True, "seeds": 3}
    ends = {"arm_difference": -0.2, "arm_difference_low": -0.3, "arm_difference_high": -0.1}
    answer = Answer("which_data", "Which data?")
    outcomes._against([{**row, **ends, "schedule": schedule} for schedule in schedules], "a against b", answer)
    assert told in answer.sentences[0]


# Beyond noise by itself, not after Holm's correction.
FAINT = {"arm_difference": 0.2, "arm_difference_low": 0.1, "arm_difference_high": 0.3, "is_arm_beyond_noise": True}
FAINT |= {"title": "Sums", "model": "tiny", "unit": "share", "seeds": 3, "schedule": "s", "trace": ""}


@pytest.mark.parametrize(
    ("confirmed", "said"),
    [
        (True, "better on Sums (tiny) +20.0 points (95 % interval +10.0 to +30.0)."),
        (False, "not to be told apart on 1 of 1 arm-benchmark pair."),
    ],
)
def test_a_set_is_better_only_where_the_corrected_test_says_so(confirmed, said):
    answer = Answer("which_data", "Which data?")
    outcomes._against([FAINT | {"is_arm_difference_confirmed": confirmed}], "a against b", answer)
    assert answer.sentences == [f"a against b, over 3 training seeds: {said}"]


@pytest.mark.parametrize(("confirmed", "better"), [(True, "Sums"), (False, "none")])
def test_a_schedule_is_better_only_where_the_corrected_test_says_so(confirmed, better):
    row = FAINT | {"arm": "a", "rows": 8, "passes": 2, "batch_size": 4, "reference": "b"}
    answer = Answer("repetition", "?")
    training._setting([row | {"is_arm_difference_confirmed": confirmed}], {"b": 4}, answer)
    assert f"beyond noise worse on none, better on {better}, of 1 benchmark." in answer.sentences[0]


@pytest.mark.parametrize("known", [(True, True), (False, True)])
def test_an_arm_is_compared_though_the_other_side_lacks_its_first_seed(known):
    row = FAINT | {"source": "ours", "dataset": "a", "benchmark": "b", "grader": "strict", "metric": "m", "rows": 8}
    row |= {"passes": 2, "batch_size": 4, "total_steps": 20, "reference": "tiny_b_s", "is_reference": False}
    row |= {"fresh_difference": None, "usual_difference": None, "is_arm_difference_confirmed": True, "position": 1}
    gone = dict.fromkeys(("difference", "arm_difference", "arm_difference_low", "arm_difference_high"))
    gone["is_arm_difference_confirmed"] = False
    rows = [row | {"seed": seed, "difference": 0.2} | ({} if there else gone) for seed, there in enumerate(known, 1)]
    answer = training.repetition(SimpleNamespace(ask=lambda query: rows))
    assert (
        answer.short
        == "Other settings at equal steps, compared with the reference: better in 1 and worse in none of 1 comparison."
    )


@pytest.mark.parametrize(
    ("others", "said"),
    [
        (0, "gains more on Sums 0 by +10.0 points (95 % interval +2.2 to +17.8), p (Holm) 0.012, bases"),
        (20, "gains more on none; less on"),
    ],
)
def test_a_model_gains_more_only_where_the_corrected_test_says_so(others, said):
    """Two gains that are 2.5 standard errors apart."""

    def gain(model, parameters, number, value):
        row = {
            "dataset": "d",
            "schedule": "s",
            "family": "f",
            "mixture": None,
            "model": model,
            "parameters": parameters,
        }
        row |= {"title": f"Sums {number}", "benchmark": f"b{number}", "position": number, "unit": "share", "seeds": 1}
        row |= {"arm_gain": value, "arm_gain_low": value - 0.055, "arm_gain_high": value + 0.055, "base_value": 0.5}
        row |= {"arm_gain_centre": value, "arm_gain_se": 0.028, "arm_gain_freedom": 400.0, "seed": 1}
        return row | {"source": "ours", "grader": "strict", "metric": "m", "trace": ""}

    rows = [gain("large", 2, number, 0.1 if number == 0 else 0.0) for number in range(others + 1)]
    rows += [gain("small", 1, number, 0.0) for number in range(others + 1)]
    with duckdb.connect() as db:
        db.execute(macros())
        tables = Tables(db, "s")
        answer = models.size(SimpleNamespace(ask=lambda query: rows, holm=tables.holm))
    assert said in answer.sentences[0]
