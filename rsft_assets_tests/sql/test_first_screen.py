"""The report's first screen: short answers and the table of scores, as the tables have them."""

import re

import dagster as dg
import pytest

from rsft_assets.defs.report import report_materialization
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.study import load_study
from rsft_assets.steps.report import score_table as module
from rsft_assets.steps.report.answer import Answer, Tables, better_and_worse
from rsft_assets.steps.report.page import page
from rsft_assets.steps.report.score_table import Cell, ScoreTable, score_table
from rsft_assets.steps.report.write import REPORT, answers_of, make_report
from rsft_assets.steps.results.build import build_results
from rsft_assets.steps.results.publishing import open_results, read_results

ARM = ("tiny-1m", "tiny-cot", "lr1e-3_ep4_bs16")


@pytest.fixture
def db(finished):
    with open_results(finished) as opened:
        yield opened


@pytest.fixture
def scores(db):
    return score_table(Tables(db, "tiny"))


def test_cells_are_the_scores_of_the_tables(db, scores):
    known = db.execute(
        "SELECT model, dataset, schedule, title, seed_mean - arm_gain, seed_mean, is_arm_gain_confirmed, "
        "(arm_gain > 0) <> lower_is_better FROM marts.data_comparison WHERE source = 'ours' AND grader = 'strict' AND "
        "is_headline AND study = 'tiny' AND benchmark_group <> 'safety' AND gain IS NOT NULL"
    ).fetchall()
    cells = {
        (*names, heading): cell
        for names, line in scores.lines
        for heading, cell in zip(scores.headings, line, strict=True)
    }
    assert known
    for model, dataset, schedule, title, base, end, clear, better in known:
        cell = cells[(model, dataset, schedule, title)]
        assert cell.text == f"{100 * base:z.0f} → {100 * end:z.0f}"
        assert cell.mark == ("" if not clear else "▲" if better else "▼")
    assert {cell.mark for cell in cells.values()} > {"", "▲"}
    assert any(heading.startswith("tiny-harm: ") for heading in scores.headings)


@pytest.mark.parametrize(
    ("lower_is_better", "gain", "clear", "mark"),
    [(False, 0.2, True, "▲"), (False, -0.2, True, "▼"), (True, 0.2, True, "▼"), (False, 0.2, False, "")],
)
def test_a_mark_says_better_or_worse_and_not_more_or_less(lower_is_better, gain, clear, mark):
    row = {"model": "m", "dataset": "d", "schedule": "s", "title": "T", "unit": "share"}
    row |= {
        "lower_is_better": lower_is_better,
        "seed_mean": 0.5 + gain,
        "is_arm_gain_confirmed": clear,
        "is_arm_gain_beyond_noise": True,
    }
    row |= {"arm_gain": gain, "arm_gain_low": gain - 0.1, "arm_gain_high": gain + 0.1}
    cell = module._skill(row)[2]
    assert (cell.text, cell.mark) == (f"50 → {50 + 100 * gain:.0f}", mark)
    assert cell.interval == f"{100 * gain - 10:+.1f} to {100 * gain + 10:+.1f} points"


@pytest.mark.parametrize(
    ("reading", "is_fall", "harm", "text", "mark", "column"),
    [
        ("forbidden requests answered", False, 0.2, "10 → 30", "▼", "b: forbidden requests answered"),
        ("harm", True, 0.05, "10 → 5", "▼", "b: refusal"),
        ("harm", False, -0.05, "10 → 5", "▲", "b: refusal"),
    ],
)
def test_more_harm_is_worse_whichever_way_its_metric_goes(reading, is_fall, harm, text, mark, column):
    row = {"model": "m", "dataset": "d", "schedule": "s", "benchmark": "b", "metric": "refusal", "unit": "share"}
    row |= {"reading": reading, "is_fall": is_fall, "base_value": 0.1, "is_arm_harm_confirmed": True}
    row |= {"arm_harm": harm, "arm_harm_low": harm - 0.01, "arm_harm_high": harm + 0.01}
    _, heading, cell = module._harm(row)
    assert (heading, cell.text, cell.mark) == (column, text, mark)


def test_short_answers_count_what_the_rows_say(db, finished):
    answers = {answer.name: answer for answer in answers_of(db, "tiny", read_results(finished))}
    dips = sum(row["is_arm_valley_confirmed"] for row in answers["long_enough"].rows)
    lost = sum(row["is_arm_erosion_confirmed"] for row in answers["long_enough"].rows)
    dip, end = f"{dips} dip{'s' * (dips == 1)}", f"{lost} end{'s' * (lost == 1)}"
    recover = f"recover{'s' * (dips == 1)}"
    assert answers["long_enough"].short == f"Of 8 score curves, {dip} and then {recover}; {end} below an earlier step."
    usual, counts = answers["generalised"].short.splitlines()
    assert usual.startswith("tiny-1m_tiny-cot_lr1e-3_ep4_bs16: in domain Tiny sums ")
    for row in answers["generalised"].rows:
        ends = f"{100 * (row['seed_mean'] - row['arm_gain']):.0f} % to {100 * row['seed_mean']:.0f} %"
        said = f"from {ends}" if row["is_arm_gain_confirmed"] else "no clear change"
        assert row["arm"] not in usual or row["run_group"] == "safety" or f"{row['title']} {said}" in usual
    inside = [row for row in answers["generalised"].rows if row["run_group"] == "in-domain"]
    up = sum(row["is_arm_gain_confirmed"] and row["arm_gain"] > 0 for row in inside)
    down = sum(row["is_arm_gain_confirmed"] and row["arm_gain"] < 0 for row in inside)
    assert counts.startswith(f"All arms: in domain {up or 'none'} of {len(inside)} gain and {down or 'none'} lose")
    sets = re.findall(r"([\w-]+) is better in (\w+) and worse in (\w+) of (\d+)", answers["which_data"].short)
    for dataset, better, worse, compared in sets:
        mine = [row for row in answers["which_data"].rows if row["dataset"] == dataset]
        up = sum(row["is_arm_difference_confirmed"] and row["arm_difference"] > 0 for row in mine)
        down = sum(row["is_arm_difference_confirmed"] and row["arm_difference"] < 0 for row in mine)
        assert (better, worse, compared) == (str(up or "none"), str(down or "none"), str(len(mine)))
    assert {dataset for dataset, *_ in sets} == {row["dataset"] for row in answers["which_data"].rows}
    assert "trained with thinking became less safe, by up to" in answers["safety"].short
    assert "13 of 13 tests of the tables pass" in answers["trusted"].short


def test_answers_and_scores_come_before_all_detail():
    told = Answer("a", "A?", ["In detail."], short="In short.\nAnd <b>more</b>.")
    empty = Answer("b", "B?", missing=["Nothing is scored.", "Nor this."])
    scores = ScoreTable(["T"], [(ARM, [Cell("1 → 2", "▲", "+0.5 to +1.5 points")])])
    text = page("t", ["How to."], [told, empty], {}, {}, scores=scores, first="Published numbers.")
    places = ["Published numbers.", "In short.<br>And &lt;b&gt;more", "1 → 2 ▲", "Next: ", "How to.", "In detail."]
    assert [text.index(place) for place in places] == sorted(text.index(place) for place in places)
    assert text.count('class="none"') == 2 and text.count("Nothing is scored.") == 2, "above, and in its place"
    assert 'title="+0.5 to +1.5 points"' in text
    details = re.findall(r"<details>.*?</details>", text, flags=re.DOTALL)
    assert any("In detail." in one for one in details) and any("Nor this." in one for one in details)


def test_only_clear_changes_are_counted():
    rows = [{"clear": clear, "change": change} for clear in (True, False, None) for change in (0.2, -0.1, -0.2)]
    assert better_and_worse(rows, "clear", "change") == "better in 1 and worse in 2 of 9 comparisons"
    assert better_and_worse(rows[3:4], "clear", "change") == "better in none and worse in none of 1 comparison"


def test_a_study_file_names_the_report_of_what_it_extends(study, copied_report, tmp_path, monkeypatch):
    file = tmp_path / "mine.toml"
    file.write_text('extends = "nano"\n')
    monkeypatch.setenv("RSFT_STUDY", str(file))
    assert load_study().titles == {"nano": "mine, beside the nano study"}
    assert "<h1>Report: the tiny study</h1>" in make_report(study, copied_report).file("tiny.html").read_text()
    study.titles["tiny"] = "mine, beside the tiny study"
    try:
        text = make_report(study, copied_report).file("tiny.html").read_text()
    finally:
        del study.titles["tiny"]
    assert "<h1>Report: mine, beside the tiny study</h1>" in text


def test_dagster_shows_the_answers_and_the_scores(copied_report):
    output = copied_report.require(REPORT)
    with dg.DagsterInstance.ephemeral() as instance:
        metadata = report_materialization(instance, output, "kept").metadata
    shown = metadata["tiny study, in short"].value
    assert "- **Did it generalise, and where?** tiny-1m (" in shown
    assert f"| {' | '.join(ARM)} | " in shown
    assert "paper study, in short" in metadata


def test_without_its_table_the_page_is_written_without_scores(study, copied, sql):
    (sql / "marts" / "safety_tradeoff.sql").write_text("SELECT nothing FROM staging.score_points")
    build_results(study, copied, folder=sql)
    output = make_report(study, copied)
    assert "rise again beyond noise" in output.file("tiny.html").read_text()
    assert not output.has("tiny.md") and copied.current(Ref("report")) is not None
