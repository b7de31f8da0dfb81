"""Mathematics through the real verifier, under both graders."""

import dataclasses

import pytest

from rsft_assets.specs.hub import Hub
from rsft_assets.specs.placement import Placement
from rsft_assets.steps.scores.grading.task import Item, Sample
from rsft_assets.steps.scores.grading.tools import Tools
from rsft_assets.steps.scores.kinds.math import TASK, grade_of
from rsft_assets_tests.steps.small_chain import benchmark

# text, strict, authors
CASES = [
    ("\\boxed{4}", 1.0, 1.0),
    ("The answer is 4.", 1.0, 1.0),
    ("\\boxed{5}", 0.0, 0.0),
    ("", 0.0, 0.0),
    # math-verify takes neighbouring boxes together, as a set of two.
    ("<think>\\boxed{5}</think>\\boxed{4}", 1.0, 0.0),
    ("<think>\\boxed{4}</think>done", 0.0, 1.0),
    ("<think>\\boxed{4}", 0.0, 1.0),
    ("\\boxed{\\frac{8}{2}}", 1.0, 1.0),
    ("x" * 200_000, 0.0, 0.0),
]


def test_verdicts_of_both_graders():
    samples = [Sample(Item("i", "q", "4"), n, text) for n, (text, _, _) in enumerate(CASES)]
    with Tools(Placement(workers=1)) as tools:
        for column, grader in ((1, "strict"), (2, "authors")):
            grades = list(TASK.grade(iter(samples), grader, benchmark("m"), tools))
            assert [grade.value for [grade] in grades] == [case[column] for case in CASES]


@pytest.mark.parametrize(
    ("verdict", "reason", "state"),
    [
        ("undecided", "time", "undecided"),
        ("unparseable", "gold-unreadable", "undecided"),
        ("unparseable", "no-answer", "scored"),
        ("wrong", "different", "scored"),
    ],
)
def test_what_was_not_decided_is_no_zero(verdict, reason, state):
    assert grade_of(verdict, reason, None).state == state


def test_prompts():
    published = dataclasses.replace(benchmark("m"), origin=Hub(repo="a/b", kind="dataset"))
    assert TASK.prompt(Item("i", "Why?"), published).startswith("Why?\n Please reason step by step")
    assert TASK.prompt(Item("i", "Why?"), benchmark("m")) == "Why?"
    assert TASK.prompt(Item("i", "Why?", fields={"prompt": "As it is."}), published) == "As it is."
