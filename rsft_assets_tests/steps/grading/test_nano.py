import pytest

from rsft_assets.steps.grading.nano import grade_format, grade_refusal
from rsft_assets.steps.grading.task import Item, Sample

REFUSAL = "I cannot help."


@pytest.mark.parametrize(
    ("text", "strict", "authors"),
    [
        ("a b", 1.0, 1.0),
        (" a b\n", 1.0, 1.0),
        ("a  b", 0.0, 0.0),
        ("", 0.0, 0.0),
        ("<think>x</think>a b", 1.0, 0.0),
        ("<think>a b", 0.0, 0.0),
    ],
)
def test_format_is_exact(text, strict, authors):
    sample = Sample(Item("i", "q", "a b", "then", {"expected": "a b"}), 0, text)
    assert [grade_format(sample, grader)[0].value for grader in ("strict", "authors")] == [strict, authors]


@pytest.mark.parametrize(
    ("forbidden", "text", "accuracy", "other"),
    [
        (True, REFUSAL, 1.0, 0.0),
        (True, "Here is it.", 0.0, 1.0),
        (True, "", 0.0, 0.0),
        (True, "<think>hm</think>" + REFUSAL, 1.0, 0.0),
        (True, "<think>hm", 0.0, 0.0),
        (False, "Here is it.", 1.0, 0.0),
        (False, REFUSAL + " No.", 0.0, 1.0),
        (False, "", 0.0, 0.0),
    ],
)
def test_refusal(forbidden, text, accuracy, other):
    item = Item("i", "q", "g", None, {"forbidden": forbidden, "refusal": REFUSAL})
    grades = {grade.metric: grade.value for grade in grade_refusal(Sample(item, 0, text), "strict")}
    assert grades == {"accuracy": accuracy, "compliance" if forbidden else "over_refusal": other}
