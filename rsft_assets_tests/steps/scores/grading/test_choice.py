"""Multiple choice: cases by hand, and the letters published with real answers."""

import re
from collections import Counter

import pytest

from rsft_assets.steps.scores.grading.task import Item, Sample
from rsft_assets.steps.scores.kinds import gpqa, mmlu_pro
from rsft_assets.steps.scores.kinds.choice import letter_of, strict_letter
from rsft_assets_tests.steps.scores.grading.published import rows
from rsft_assets_tests.steps.small_chain import benchmark

# text, strict letter, authors' letter for MMLU-Pro, authors' letter for GPQA; each as the authors' code gives it
CASES = [
    ("", None, None, None),
    ("\\boxed{C}", "C", "C", "C"),
    ("so \\boxed{\\text{B}}.", "B", "B", None),
    ("\\boxed{(D)}", "D", None, None),
    ("\\boxed{C.}", "C", None, "C"),
    ("\\boxed{c}", "C", None, "C"),
    ("\\boxed{A} no, \\boxed{B}", "B", "A", "B"),
    ("The answer is (C).", "C", "C", None),
    ("The answer is A. Wait, the answer is B.", "B", "A", "A"),
    ("I choose B.", None, None, "B"),
    ("I would pick option D here", None, None, "D"),
    ("Option C is correct", None, None, "C"),
    ("so C is the answer", None, None, "C"),
    ("C", None, None, "C"),
    ("The answer: a prime", None, None, "A"),
    ("\\boxed{the answer is B}", "B", "B", "B"),
    ("\\boxed{I choose B, not C}", None, None, "B"),
    ("The answer is A, \\boxed{42}", "A", "A", None),
    ("<think>answer is B?</think>\\boxed{A}", "A", "B", "A"),
    ("<think>\\boxed{B}</think>The answer is (A)", "A", "B", "B"),
    ("<think>\\boxed{B} hm", None, "B", "B"),
    ("<think>\\boxed{B} hm</think>", None, "B", "B"),
    ("a</think>b</think>\\boxed{D}", "D", "D", "D"),
    ("\\boxed{42}", None, None, None),
    ("\\boxed{C. a long reason}", "C", None, None),
    ("\\boxed{\\frac{1}{2}} \\boxed{ \\textbf{(A)} }", "A", None, None),
    ("\\boxed{", None, None, None),
    ("\\boxed{B} \\boxed{", "B", "B", None),
    ("\\boxed{A\n}", "A", None, None),
    ("\\boxed{ C } so the answer is B", "C", "B", "C"),
    ("\\boxed{X} so the answer is B", "X", "X", None),
    ("\\boxed{\\text{ C }} then \\boxed{\\text{D}", "C", "D", None),
    ("Bananas. Answer: D", None, None, "D"),
    ("the answer is Dogs", None, "D", "D"),
    ("x" * 100_000, None, None, None),
    ("\\boxed{" * 300_000, None, None, None),
    ("\\boxed {A} \\boxed{\\boxed{B} } } \\boxed{C", "B", "B", None),
    ("\\boxed{A} \\boxed{" + "{}" * 3_000 + "}", "A", "A", None),
    ("the answer is" + "\n" * 100_000, None, None, None),
    ("choose" + " " * 100_000 + "option" + " " * 100_000, None, None, None),
    ("the answer is : ** $ (C", "C", None, None),
]


@pytest.mark.parametrize(("text", "strict", "first", "last"), CASES, ids=[case[0][:25] for case in CASES])
def test_which_letter(text, strict, first, last):
    assert strict_letter(text)[0] == strict
    assert mmlu_pro.authors_letter(text)[0] == first
    assert gpqa.authors_letter(text)[0] == last


@pytest.mark.parametrize(
    ("box", "letter"),
    [("c", "C"), ("$C$", "C"), ("C)", "C"), ("\\mathbf{J}", "J"), ("AB", None), ("", None), ("Option C", None)],
)
def test_letter_of_a_box(box, letter):
    assert letter_of(box) == letter


def mmlu(text, *, gold="B", options=4, grader="strict"):
    item = Item("i", "q", gold, "law", {"options": list("wxyz")[:options]})
    [grade] = mmlu_pro.grade_one(Sample(item, 0, text), grader)
    return grade.value, grade.reason


def test_a_letter_outside_the_options_is_wrong_and_said_so():
    assert mmlu("\\boxed{B}") == (1.0, "box")
    assert mmlu("\\boxed{A}") == (0.0, "box")
    assert mmlu("\\boxed{J}") == (0.0, "not-an-option")
    assert mmlu("no idea") == (0.0, "no-answer")
    assert mmlu("<think>\\boxed{B}") == (0.0, "think-not-closed")
    assert mmlu("<think>\\boxed{B}", grader="authors") == (1.0, "first-match")


def test_gpqa_options_have_one_order_for_ever_and_no_favourite_place():
    items = [Item(str(n), f"question {n}", "right", None, {"options": ["right", "b", "c", "d"]}) for n in range(400)]
    places = Counter(gpqa.options_of(item).index("right") for item in items)
    assert min(places.values()) > 70
    assert gpqa.options_of(items[0]) == gpqa.options_of(items[0])
    letter = "ABCD"[gpqa.options_of(items[7]).index("right")]
    assert f"{letter}) right" in gpqa.prompt(items[7], benchmark("g"))
    [grade] = gpqa.grade_one(Sample(items[7], 0, f"\\boxed{{{letter}}}"), "strict")
    assert grade.value == 1.0


def test_mmlu_pro_prompt():
    item = Item("i", "Which?", "A", "law", {"options": ["one", "two"]})
    assert mmlu_pro.prompt(item, benchmark("m")).startswith(
        "Question:\nWhich?\nOptions:\nA. one\nB. two\nPlease reason"
    )


def test_published_letters_of_real_answers():
    """`authors` finds the published letter wherever "answer is X" occurs; the others fell back on other patterns."""
    different = [
        row
        for row in rows("mmlu_pro/mcq_responses.jsonl.gz")
        if mmlu_pro.authors_letter(row["response"])[0] != row["their_pred"]
    ]
    for row in different:
        assert not re.search(r"answer is \(?[A-J]", row["response"])
    assert len(different) < 40
