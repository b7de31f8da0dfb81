"""What a score's page shows: its number and change first, its curve, and answers, never those of a safety benchmark."""

import html
from dataclasses import replace
from xml.etree import ElementTree

import dagster as dg
import pyarrow.parquet as pq
import pytest

from rsft_assets.commands.pages import curve, trace_text
from rsft_assets.defs.pages import CURVES, DEFAULT_URL, PREVIEW, TRACES, curve_url
from rsft_assets.defs.recording import Upstream, materialization, metadata_of
from rsft_assets.defs.score_cards import score_card
from rsft_assets.specs.errors import SpecError, StepError
from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.questions.score_answers import first_answers, verdict
from rsft_assets.steps.questions.trace import trace
from rsft_assets.steps.questions.tracing.node import as_tree
from rsft_assets.steps.records.rows import read_rows
from rsft_assets.steps.results.publishing import open_results
from rsft_assets.steps.scores.grading.task import Metric
from rsft_assets_tests.finished_outputs import write

RUN = "tiny-1m_tiny-cot_lr1e-3_ep4_bs16"
SCORE = Ref("scores/tiny-1m/tiny-sums", f"{RUN}|20")
BASE = Ref("scores/tiny-1m/tiny-sums", f"{RUN}|0")
HARM = Ref("scores/tiny-1m/tiny-harm", f"{RUN}|20")


@pytest.fixture
def metadata(study, finished):
    """The metadata that Dagster gets for a score."""

    def metadata_for(ref):
        with dg.DagsterInstance.ephemeral() as instance:
            return materialization(finished.require(ref), "made", Upstream(instance, study)).metadata

    return metadata_for


def test_value_interval_and_change_come_first(finished, metadata):
    shown, score, base = metadata(SCORE), finished.require(SCORE).stats, finished.require(BASE).stats
    change = round(score["value"] - base["value"], 6)
    assert list(shown)[:7] == ["score", "value", "low", "high", "change from base", "first answers", "details"]
    assert shown["change from base"].value == change
    first = (
        f"**{100 * score['value']:.1f} %** (95 % interval {100 * score['low']:.1f} % to {100 * score['high']:.1f} %)"
    )
    sign = "+" if change >= 0 else "−"
    first += f", {sign}{100 * abs(change):.1f} points from the base's {100 * base['value']:.1f} %"
    url = f"{DEFAULT_URL}/{CURVES}/scores/tiny-1m/tiny-sums/{RUN}/20.svg"
    assert shown["score"].value.startswith(f"{first}\n\n[![")
    assert f"]({url}?{PREVIEW})]({url})" in shown["score"].value and curve_url(finished.home, SCORE) == url
    assert f"[what it was made from]({DEFAULT_URL}/{TRACES}/{SCORE.asset}/{RUN}/20.txt)" in shown["score"].value
    assert shown["state"].value == "made", "and not the score's own state"
    assert "the base model" in metadata(BASE)["score"].value and "change from base" not in metadata(BASE)


def test_numbers_have_no_more_digits_than_are_read(finished, metadata):
    checkpoint = Ref("checkpoints/tiny-1m", f"{RUN}|20")
    loss = finished.require(checkpoint).stats["held_out_loss"]
    assert len(str(loss)) > 9 and metadata(checkpoint)["held_out_loss"].value == float(f"{loss:.6g}")


def test_what_a_card_shows_is_not_shown_again(study, copied):
    pool, facts = Ref("queries/tiny-sums"), {"filters": [{"filter": "f", "removed": 1, "left": 2}], "rows": 2}
    with copied.build(study, pool, force=True) as build:
        write(build, "queries", list(read_rows(copied.require(pool).file("queries.parquet"))))
        build.made_by["commit"] = "0123456789" * 4
        build.publish(stats=facts)
    shown = metadata_of(build.output)
    assert "| f | 1 | 2 |" in shown["card"].value and "filters" not in shown and shown["rows"] == 2
    assert shown["made_by"]["commit"] == "012345678901", "no wider than the page"


def test_three_answers_are_shown_with_question_and_verdict(study, finished, metadata):
    answers = first_answers(finished, study.benchmarks["tiny-sums"], finished.require(SCORE))
    shown = [html.unescape(part) for part in metadata(SCORE)["first answers"].value.split("\n\n")]
    assert len(answers) == 3 and len(shown) == 9
    for number, answer in enumerate(answers, 1):
        question, text, verdict_shown = shown[3 * number - 3 : 3 * number]
        assert answer.answer == f"answer of {RUN} 20 to {answer.question}"
        assert question == f"**Question {number}** {answer.question}" and text == f"**Answer** {answer.answer}"
        wrong = "" if answer.verdict == "correct" else f"; reference: {answer.gold}"
        assert verdict_shown == f"**Verdict** {answer.verdict}{wrong}"
    assert {answer.verdict for answer in answers} <= {"correct", "wrong", "undecided"}


def test_the_tables_say_the_same_verdicts(study, finished):
    answers = first_answers(finished, study.benchmarks["tiny-sums"], finished.require(SCORE))
    asked = "SELECT verdict FROM texts WHERE run = ? AND step = ? AND benchmark = 'tiny-sums' AND sample = 0"
    with open_results(finished) as db:
        rows = db.execute(f"{asked} ORDER BY item LIMIT 3", [SCORE.run, SCORE.step]).fetchall()
    assert [verdict for (verdict,) in rows] == [answer.verdict for answer in answers]


def test_a_safety_benchmark_shows_no_text(study, finished, metadata):
    shown, benchmark, score = metadata(HARM), study.benchmarks["tiny-harm"], finished.require(HARM)
    assert "score" in shown and "first answers" not in shown and "answer of" not in str(shown)
    # Not even where its group alone says so.
    assert first_answers(finished, replace(benchmark, sensitive=False), score) == []
    assert len(first_answers(finished, replace(benchmark, sensitive=False, group="general"), score)) == 3


def test_a_long_answer_is_cut_with_a_word(study, finished, monkeypatch):
    monkeypatch.setattr("rsft_assets.defs.score_cards._ANSWER_CHARS", 20)
    answers = first_answers(finished, study.benchmarks["tiny-sums"], finished.require(SCORE))
    shown = html.unescape(score_card(study, finished.require(SCORE))["first answers"].value)
    for answer in answers:
        left_out = len(answer.answer) - 20
        assert f"{answer.answer[:10]} … (cut: {left_out} characters left out) … {answer.answer[-10:]}" in shown


@pytest.mark.parametrize(
    ("state", "value", "metric", "word"),
    [
        ("scored", 1.0, Metric("m"), "correct"),
        ("scored", 0.0, Metric("m"), "wrong"),
        ("scored", 0.5, Metric("m"), "partly"),
        ("scored", 0.0, Metric("m", lower_is_better=True), "correct"),
        ("scored", 0.0, Metric("m", unit="reward"), "partly"),
        ("undecided", None, Metric("m"), "undecided"),
    ],
)
def test_a_verdict_is_a_word(state, value, metric, word):
    assert verdict({"state": state, "value": value}, metric) == word


def test_lost_texts_do_not_cost_the_number(study, copied):
    score = copied.require(SCORE)
    (copied.home / score.stats["completions"]["folder"] / "completions.parquet").unlink()
    card = score_card(study, score)
    assert card["value"] == score.stats["value"] and "completions" in card["first answers"].value


def test_a_curve_has_every_kept_step_and_marks_its_own(study, finished, monkeypatch):
    monkeypatch.setattr("rsft_assets.specs.study.load_study", lambda: study)
    drawn = ElementTree.fromstring(curve(finished, f"/{CURVES}/{SCORE.asset}/{RUN}/20.svg", small=True))
    tag = "{http://www.w3.org/2000/svg}"
    texts = [text.text for text in drawn.iter(f"{tag}text")]
    assert [text for text in texts if text in ("base", "5", "10", "20", "40")] == ["base", "5", "10", "20", "40"]
    assert f"step 20: {100 * finished.require(SCORE).stats['value']:.1f} %" in texts
    assert sorted(circle.get("r") for circle in drawn.iter(f"{tag}circle")) == ["3", "3", "3", "3", "4.5"]
    heights = [float(circle.get("cy")) for circle in drawn.iter(f"{tag}circle")]
    values = [finished.require(Ref(SCORE.asset, f"{RUN}|{step}")).stats["value"] for step in (0, 5, 10, 20, 40)]
    assert sorted(range(5), key=heights.__getitem__) == sorted(range(5), key=lambda i: -values[i])
    whole = ElementTree.fromstring(curve(finished, f"/{CURVES}/{SCORE.asset}/{RUN}/20.svg", small=False))
    assert int(whole.get("width")) == 2 * int(drawn.get("width"))


def test_a_curve_follows_the_scores_and_not_the_tables(study, copied, monkeypatch):
    monkeypatch.setattr("rsft_assets.specs.study.load_study", lambda: study)
    path = f"/{CURVES}/{SCORE.asset}/{RUN}/20.svg"
    before = curve(copied, path, small=True)
    (copied.slot(Ref(SCORE.asset, f"{RUN}|40")) / "current.json").unlink()
    after = curve(copied, path, small=True)
    assert before.count("<circle") == 5 and after.count("<circle") == 4


@pytest.mark.parametrize("benchmark", ["tiny-sums", "tiny-harm"])
def test_a_trace_is_that_of_the_command_and_holds_no_question(study, finished, monkeypatch, benchmark):
    monkeypatch.setattr("rsft_assets.specs.study.load_study", lambda: study)
    ref = Ref(f"scores/tiny-1m/{benchmark}", SCORE.partition)
    said = trace_text(finished, f"/{TRACES}/{ref.asset}/{RUN}/20.txt")
    assert said == as_tree(trace(study, finished, ref.asset, ref.partition)) + "\n"
    assert "datasets/tiny-cot" in said and "queries/tiny-sums" in said
    items = pq.read_table(finished.require(Ref(f"benchmarks/{benchmark}")).file("items.parquet")).to_pylist()
    assert items and not any(item["question"] in said for item in items)


@pytest.mark.parametrize(
    "path", [f"{SCORE.asset}/{RUN}/21.svg", "scores/../queries/x/1.svg", f"checkpoints/tiny-1m/{RUN}/20.svg", "x"]
)
def test_what_is_no_score_has_no_curve(study, finished, monkeypatch, path):
    monkeypatch.setattr("rsft_assets.specs.study.load_study", lambda: study)
    with pytest.raises((SpecError, StepError, ValueError)):
        curve(finished, f"/{CURVES}/{path}", small=True)
    with pytest.raises((SpecError, StepError, ValueError)):
        trace_text(finished, f"/{TRACES}/{path}")
