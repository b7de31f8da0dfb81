"""The audit: a second opinion of its own, estimates with intervals, and errors that it finds."""

import json

import pytest

from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.audits.audit import audit
from rsft_assets.steps.audits.estimates import share
from rsft_assets.steps.audits.second_opinion import second_opinion
from rsft_assets.steps.records.rows import RowWriter
from rsft_assets.steps.records.store import Store
from rsft_assets_tests.steps.data_study import COT, make_all, rows_of, study

pytestmark = pytest.mark.usefixtures("quick_verifier")


@pytest.mark.parametrize(
    ("gold", "answer", "opinion"),
    [
        ("12", "12", "same"),
        ("12", "13", "different"),
        (r"\frac{1}{2}", "0.5", "same"),
        (r"\dfrac12", "1/2", "same"),
        ("1,234", "1234", "same"),
        ("12", r"12^\circ", "same"),
        ("12", r"\text{ 12 }", "same"),
        ("0.3", r"30\%", "same"),
        ("(1,2)", r"\left( 1, 2 \right)", "same"),
        ("(1,2)", "(2,1)", "different"),
        ("x+1", "1+x", "unknown"),
        (r"\sqrt{2}", "1.41", "unknown"),
        ("1/0", "2", "unknown"),
        ("", "", "unknown"),
    ],
)
def test_second_opinion_on_math(gold, answer, opinion):
    assert second_opinion(gold, f"<think>\\boxed{{99}}</think> So \\boxed{{{answer}}}.", "math") == opinion


@pytest.mark.parametrize(
    ("answer", "opinion"),
    [
        ("(3-1)*4", "same"),
        ("(3 - 1) \\times 4 = 8", "same"),
        ("4*2", "different"),
        ("4+4", "different"),
        ("4/(3-3)", "unknown"),
        ("__import__('os')", "unknown"),
        ("9**9**9**9", "unknown"),
    ],
)
def test_second_opinion_on_countdown(answer, opinion):
    gold = json.dumps({"numbers": [1, 3, 4], "target": 8})
    assert second_opinion(gold, f"\\boxed{{{answer}}}", "countdown") == opinion


@pytest.mark.parametrize("response", ["no box", "\\boxed{12", "\\boxed{" + "1" * 5_000 + "}", "{" * 10_000])
def test_no_opinion_without_a_readable_box(response):
    assert second_opinion("12", response, "math") == "unknown"


def test_intervals_are_clustered_by_query():
    spread = share([(1, 2)] * 50)
    clustered = share([(2, 2)] * 25 + [(0, 2)] * 25)
    assert spread["value"] == clustered["value"] == 0.5
    assert spread["high"] - spread["low"] < clustered["high"] - clustered["low"]
    assert share([(0, 3)] * 40)["high"] > 0
    assert share([])["value"] is None


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    store, small = Store(tmp_path_factory.mktemp("home")), study(datasets=(COT,))
    make_all(small, store)
    return small, store


def test_sound_verdicts_agree_with_truth_and_second_opinion(made):
    small, store = made
    stats = audit(small, store, Ref("audits/pool")).stats
    assert stats["rows"] == sum(stats["verdicts"].values()) == 180
    assert stats["second_opinion"]["correct_but_different"]["hits"] == 0
    assert stats["truth"]["false_positives"]["value"] == stats["truth"]["false_negatives"]["value"] == 0
    assert "another-text/correct" not in stats["truth"]["verdicts"]
    lost = stats["other_configurations"]["boxed-only"]["responses_lost"]
    assert 0 < lost["low"] < lost["value"] < lost["high"]


def test_planted_errors_are_found_and_listed(made, tmp_path):
    small, store = made
    ref = Ref("verdicts/pool", "0")
    sound = store.require(ref)
    rows = rows_of(sound, "verdicts.parquet")
    flipped = [row["response_id"] for row in rows if row["verdict"] == "wrong"][:4]
    with store.build(small, ref, force=True) as build:
        with RowWriter(build.folder / "verdicts.parquet", "verdicts") as writer:
            for row in rows:
                writer.add({**row, "verdict": "correct"} if row["response_id"] in flipped else row)
        build.publish(stats=sound.stats)
    output = audit(small, store, Ref("audits/pool"))
    assert output.stats["second_opinion"]["correct_but_different"]["hits"] == 4
    assert output.stats["truth"]["false_positives"]["hits"] == 4
    listed = [json.loads(line)["response_id"] for line in output.file("disagreements.jsonl").read_text().splitlines()]
    assert set(flipped) <= set(listed)


def test_the_sample_is_of_queries_with_all_their_responses(made, monkeypatch):
    small, store = made
    monkeypatch.setattr("rsft_assets.steps.audits.audit.SAMPLED_QUERIES", 7)
    output = audit(small, store, Ref("audits/pool"), force=True)
    assert (output.stats["sampled_queries"], output.stats["rows"]) == (7, 21)
