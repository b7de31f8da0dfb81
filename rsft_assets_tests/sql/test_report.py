"""The report: sentences that agree with the rows beneath, what is missing said plainly, checkable receipts."""

import re
import shutil
from html.parser import HTMLParser

import pytest

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.figures.catalogue import FIGURES
from rsft_assets.steps.figures.draw import draw_figures
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.report.answer import Answer
from rsft_assets.steps.report.page import page, trace_command
from rsft_assets.steps.report.phrases import points
from rsft_assets.steps.report.write import answers_of, check_report, make_report
from rsft_assets.steps.results.build import build_results
from rsft_assets.steps.results.publishing import open_results, read_results

RUN = "tiny-1m_tiny-cot_lr1e-3_ep4_bs16"
NAMES = ("long_enough", "generalised", "which_data", "repetition", "size", "safety", "length", "trusted")


@pytest.fixture(scope="module")
def answers(finished):
    with open_results(finished) as db:
        yield {
            of: {answer.name: answer for answer in answers_of(db, of, read_results(finished))}
            for of in ("tiny", "paper")
        }


@pytest.mark.parametrize("of", ["tiny", "paper"])
def test_every_question_is_answered_or_says_what_is_missing(answers, of):
    assert tuple(answers[of]) == NAMES
    for answer in answers[of].values():
        assert answer.sentences or answer.missing, answer.question
        assert all(set(answer.columns) <= set(row) | {"trace"} for row in answer.rows)


def test_sentences_agree_with_their_rows(answers):
    answer = answers["tiny"]["long_enough"]
    dips = [row for row in answer.rows if row["is_arm_valley_confirmed"]]
    assert answer.sentences[0].startswith(f"Of 8 arm-benchmark pairs, {len(dips)} dip and rise again beyond noise")
    for row in dips:
        steps = f"{row['arm']} on {row['title']}: from step {row['arm_peak_step']} to step {row['arm_valley_step']} "
        [told] = [words for words in answer.sentences if words.startswith(steps)]
        assert answer.traces[told] == row["trace"]
    gains = answers["tiny"]["generalised"]
    in_domain = [row for row in gains.rows if row["benchmark_group"] == "in-domain"]
    up = sum(row["is_arm_gain_confirmed"] and row["arm_gain"] > 0 for row in in_domain)
    assert f"of {len(in_domain)} arm-benchmark pairs, {up} gain" in gains.sentences[0]


def test_less_harm_is_not_called_worse(answers):
    said = " ".join(answers["tiny"]["which_data"].sentences + answers["tiny"]["repetition"].sentences)
    assert "Tiny harm" not in said
    safety = answers["tiny"]["safety"].sentences
    assert "of 2 arms trained with thinking under lr1e-3_ep4_bs16, the schedule of most arms, 2 became" in safety[0]
    assert "of 1 arm trained without thinking under lr1e-3_ep4_bs16, the schedule of most arms, 0 became" in safety[1]
    assert safety[2].startswith("Under other schedules, 1 of 1 arm became worse beyond noise")


def test_every_difference_in_a_sentence_has_its_interval(answers):
    for of in answers.values():
        for answer in of.values():
            for sentence in answer.sentences:
                for change in re.finditer(r"[+-]\d+\.\d points(?! \(95 % interval)", sentence):
                    raise AssertionError(f"{change[0]} stands alone in: {sentence}")


def test_what_was_never_published_is_not_available(answers):
    assert answers["paper"]["safety"].missing[0].startswith("Not available")
    assert not answers["paper"]["safety"].sentences
    missing = " ".join(answers["paper"]["long_enough"].missing)
    assert "1 of 10 benchmarks, which have no score: HEx-PHI" in missing
    assert re.search(r"Not available for \d+ of \d+ runs, which have no score", missing)


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.outside, self.headings, self.open = [], 0, []

    def handle_starttag(self, tag, attributes):
        self.headings += tag == "h2"
        for name, value in attributes:
            if name in ("src", "href") and not value.startswith(("data:", "#")):
                self.outside.append(value)


@pytest.mark.slow
def test_the_page_stands_alone_and_leads_to_traces(study, copied_report):
    output = copied_report.require(Ref("report"))
    text = output.file("tiny.html").read_text()
    page = Page()
    page.feed(text)
    figure = copied_report.require(Ref("figures/dip_and_recovery"))
    files = [figure.file(f"tiny.{model}.svg") for model in ("tiny-1m", "tiny-3m")]
    assert page.outside == [f"../../{file.relative_to(copied_report.home).as_posix()}" for file in files], (
        "the pictures of single models, from the page's folder"
    )
    assert all((output.folder / address).is_file() for address in page.outside)
    assert page.headings == len(NAMES) + 1
    without = ("reproduction_gap", "short_training", "base_comparison")
    drawn = [figure for figure in FIGURES if figure.name not in without]
    assert text.count("<svg ") == len(drawn), "nothing here was published, trained for less long, or from two bases"
    assert f"rsft trace scores/tiny-1m/tiny-dot &#x27;{RUN}|" in text
    assert make_report(study, copied_report).folder == output.folder, "kept while nothing changed"
    assert {finding.state for finding in check_report(study, copied_report)} == {"match"}

    (copied_report.slot(Ref("scores/tiny-1m/tiny-dot", f"{RUN}|40")) / "current.json").unlink()
    gone = {f.what: f for f in check_report(study, copied_report) if f.study == "tiny"}
    assert gone["figures/dip_and_recovery"].state == "missing inputs"
    assert f"{RUN}|40] is gone" in gone["figures/dip_and_recovery"].words

    build_results(study, copied_report)
    drifted = {f.what: f.state for f in check_report(study, copied_report) if f.study in ("tiny", "")}
    assert drifted["figures/dip_and_recovery"] == drifted["report"] == "drifted"
    assert drifted["figures/data_yield"] == "match"


@pytest.mark.parametrize("name", ["receipt.json", "tiny.png", "tiny.html"])
def test_a_damaged_file_of_a_figure_or_the_report_is_no_match(study, copied_report, name):
    for path in copied_report.home.rglob(name):
        content = path.read_bytes()
        path.write_bytes(b"\xff" + content[1:])
    found = {f.what: f for f in check_report(study, copied_report) if f.state != "match"}
    assert found and {f.state for f in found.values()} == {"drifted"}
    assert all(name in f.words and "has changed since it was made" in f.words for f in found.values())


def test_a_score_file_whose_bytes_changed_is_a_missing_input(study, copied_report):
    path = copied_report.require(Ref("scores/tiny-1m/tiny-dot", f"{RUN}|40")).file("graded.parquet")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    found = {f.what: f for f in check_report(study, copied_report) if f.study == "tiny"}
    assert found["figures/dip_and_recovery"].state == "missing inputs"
    assert "graded.parquet" in found["figures/dip_and_recovery"].words


def test_a_broken_table_costs_only_the_answers_and_figures_that_read_it(study, copied_report, sql):
    shutil.rmtree(copied_report.home / "figures" / "data_comparison")
    (sql / "marts" / "data_comparison.sql").write_text("SELECT nothing FROM staging.score_points")
    build_results(study, copied_report, folder=sql)
    with pytest.raises(StepError, match="figures/data_comparison reads what could not be built"):
        draw_figures(study, copied_report)
    states = {f.what: f.state for f in check_report(study, copied_report) if f.study in ("", "tiny")}
    assert states["figures/dip_and_recovery"] == "match"
    text = make_report(study, copied_report).file("tiny.html").read_text()
    assert "rise again beyond noise" in text
    assert text.count("Not available: a table that this is computed from could not be built") == 4, (
        "above and in its place, for each of two questions"
    )
    assert "data_comparison.sql: line 1" in text


def test_numbers_are_put_in_their_own_units():
    row = {"growth_low": 73.2, "growth": 80.0, "gain": -0.66, "gain_low": -0.7, "value": 0.02, "rate": -0.00001}
    answer = Answer("a", "A?", columns={name: name for name in row}, rows=[row])
    text = page("t", [], [answer], {}, {})
    assert re.findall(r"<td>(.*?)</td>", text) == ["73.2", "80", "-66.0 pp", "-70.0 pp", "2.0 %", "0.0 %"]
    assert points(-0.0, -0.01, 0.01) == "+0.0 points (95 % interval -1.0 to +1.0)"
    assert points(0.95, 0.84, 1.04) == "+95.0 points (95 % interval +84.0 to +100.0)"
    assert points(2.0, 1.5, 2.5, unit="reward") == "+2.00 (95 % interval +1.50 to +2.50)"


@pytest.mark.parametrize(
    ("place", "command"),
    [
        ("scores/m/b[run|10]", "rsft trace scores/m/b 'run|10'"),
        ("marts.data_comparison[run=a,metric=b]", "rsft trace marts.data_comparison 'run=a,metric=b'"),
        ("Table 2", "published: Table 2"),
        ("Table 2 [row cut off in the note]", "published: Table 2 [row cut off in the note]"),
    ],
)
def test_only_what_can_be_traced_gets_a_command(place, command):
    assert trace_command(place) == command


def test_texts_from_elsewhere_cannot_become_markup():
    from rsft_assets.steps.report.answer import Answer
    from rsft_assets.steps.report.page import page

    planted = "<script>alert(1)</script>"
    answer = Answer(
        "a", planted, [planted], [planted], columns={"run": planted}, rows=[{"run": planted}], table=planted
    )
    text = page(planted, [planted], [answer], {}, {planted: planted})
    assert "<script" not in text


def test_before_anything_is_made_the_report_says_so(study, tmp_path):
    store = Store(tmp_path)
    build_results(study, store)
    with open_results(store) as db:
        answers = answers_of(db, "tiny", read_results(store))
    assert all(answer.missing for answer in answers)
    assert "75 not made" in " ".join(answers[-1].missing)
