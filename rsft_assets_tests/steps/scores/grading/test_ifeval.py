"""IFEval: weights, thinking, and the harness's own verdict on real published answers."""

import pytest

from rsft_assets.steps.scores.grading.tally import Tally
from rsft_assets.steps.scores.grading.task import Item, Sample
from rsft_assets.steps.scores.kinds import ifeval
from rsft_assets_tests.steps.scores.grading.published import rows

missing = ifeval.unavailable()
needs_checks = pytest.mark.skipif(bool(missing), reason=missing)
TWO = Item(
    "i",
    "Write without commas, all in lower case.",
    None,
    "punctuation",
    {"key": 1, "instruction_id_list": ["punctuation:no_comma", "change_case:english_lowercase"], "kwargs": [{}, {}]},
)


def values(text, grader="strict"):
    return {grade.metric: grade.value for grade in ifeval.grade_one(Sample(TWO, 0, text), grader)}


@needs_checks
@pytest.mark.parametrize(
    ("text", "inst", "prompt"),
    [
        ("all is well and in order here today", 1.0, 1.0),
        ("all is well, and in order here today", 0.5, 0.0),
        ("ALL IS WELL, AND IN ORDER", 0.0, 0.0),
        ("", 0.0, 0.0),
        ("<think>A, B</think>all is well and in order here today", 1.0, 1.0),
        ("<think>all is well and in order here today", 0.0, 0.0),
    ],
)
def test_levels(text, inst, prompt):
    found = values(text)
    assert (found["inst_strict"], found["prompt_strict"]) == (inst, prompt)


@needs_checks
@pytest.mark.parametrize(
    ("text", "strict", "authors"),
    [
        ("all is well and in order here today", 1.0, 1.0),
        ("<think>A, B</think>all is well and in order here today", 1.0, 1.0),
        ("<think>all is well and in order here today", 0.0, 1.0),
        ("LOUD, <think>so</think>all is well and in order here today", 1.0, 0.0),
        ("<think>A, B</think>", 0.0, 0.0),
    ],
)
def test_which_part_the_graders_look_at(text, strict, authors):
    assert values(text)["inst_strict"] == strict
    assert values(text, "authors")["inst_strict"] == authors


def test_instruction_level_is_the_mean_over_instructions():
    tally = Tally()
    for item, value, weight in (("a", 1.0, 3.0), ("b", 0.0, 1.0)):
        tally.add(
            {
                "item_id": item,
                "grader": "strict",
                "metric": "inst_strict",
                "state": "scored",
                "value": value,
                "reason": "",
                "weight": weight,
                "category": None,
                "response_tokens": 1,
                "truncated": False,
            }
        )
    assert tally.rows()[0]["value"] == 0.75


def test_without_the_checks_it_is_not_run(monkeypatch):
    monkeypatch.setattr(ifeval.importlib.util, "find_spec", lambda name: None)
    assert "pip install" in ifeval.unavailable()


@needs_checks
def test_the_same_text_gets_the_same_verdict_each_time():
    """The harness draws a letter at random where an item counts a sign that is none."""
    kwargs = [{"letter": "#", "let_frequency": 4, "let_relation": "at least"}]
    fields = {"key": 1, "instruction_id_list": ["keywords:letter_frequency"], "kwargs": kwargs}
    item = Item("i", "Four hashtags.", None, None, fields)
    verdicts = {str(ifeval.followed(item, "abcdefghijklm" * 4)) for _ in range(20)}
    assert len(verdicts) == 1


@needs_checks
def test_loose_is_never_stricter_than_strict():
    kwargs = [{"letter": "#", "let_frequency": 4, "let_relation": "at least"}]
    fields = {"key": 1, "instruction_id_list": ["keywords:letter_frequency"], "kwargs": kwargs}
    found = [
        ifeval.followed(Item("i", f"Four hashtags, {number}.", None, None, fields), "abcdefghijklm" * 4)
        for number in range(20)
    ]
    assert {one.strict[0] for one in found} == {True, False}
    assert [one.loose for one in found] == [one.strict for one in found]


@pytest.mark.slow
@needs_checks
def test_real_answers_get_the_harness_verdict():
    from lm_eval.tasks.ifeval.utils import InputExample, process_results, test_instruction_following_loose

    prompts = {row["prompt"].strip(): row for row in rows("ifeval/input_data.jsonl")}
    compared = 0
    for row in rows("ifeval/input_response_data_gpt4_20231107.jsonl"):
        doc = prompts.get(row["prompt"].strip())
        if doc is None:
            continue  # a prompt that was reworded since those answers were published
        fields = {name: doc[name] for name in ("key", "instruction_id_list", "kwargs")}
        with ifeval.draws_of(Item("i", doc["prompt"])):
            theirs = process_results(doc, [row["response"]])
        with ifeval.draws_of(Item("i", doc["prompt"])):
            given = InputExample(doc["key"], doc["instruction_id_list"], doc["prompt"], doc["kwargs"])
            loose = test_instruction_following_loose(given, row["response"])
        for grader in ("strict", "authors"):
            grades = ifeval.grade_one(Sample(Item("i", doc["prompt"], None, None, fields), 0, row["response"]), grader)
            ours = {grade.metric: grade.value for grade in grades}
            assert ours["prompt_strict"] == theirs["prompt_level_strict_acc"]
            assert ours["prompt_loose"] == loose.follow_all_instructions
            theirs_by_level = {"strict": theirs["inst_level_strict_acc"], "loose": loose.follow_instruction_list}
            for level, flags in theirs_by_level.items():
                assert ours[f"inst_{level}"] == pytest.approx(sum(flags) / len(flags))
        compared += 1
    assert compared > 200
