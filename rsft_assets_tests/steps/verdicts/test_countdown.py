"""The countdown parser: exact, closed to everything but arithmetic, equal to Python's own exact arithmetic."""

import json
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rsft_assets.steps.verdicts.verifier.countdown import NotAnExpression, evaluate, judge_countdown, read_expression
from rsft_assets.steps.verdicts.verifier.limits import REASONS

numbers = st.integers(0, 99)


def spelled(children):
    pairs = st.tuples(children, st.sampled_from("+-*/"), children)
    return st.one_of(
        pairs.map(lambda p: (f"({p[0][0]} {p[1]} {p[2][0]})", f"({p[0][1]} {p[1]} {p[2][1]})")),
        children.map(lambda c: (f"(-{c[0]})", f"(-{c[1]})")),
    )


leaves = numbers.map(lambda n: (str(n), f"Fraction({n})"))
expressions = st.recursive(leaves, spelled, max_leaves=12)


@given(expressions)
def test_values_are_those_of_exact_arithmetic(pair):
    text, python = pair
    try:
        expected = eval(python, {"Fraction": Fraction})  # the reference: text made by this test alone
    except ZeroDivisionError:
        with pytest.raises(ZeroDivisionError):
            evaluate(read_expression(text))
        return
    assert evaluate(read_expression(text)) == expected


@given(expressions)
def test_notations_agree(pair):
    text = pair[0]
    for plain, other in (("*", "×"), ("/", "÷"), ("-", "−"), ("*", r"\times "), ("*", r"\cdot "), ("/", r"\div ")):
        assert read_expression(text.replace(plain, other)) == read_expression(text)
    assert read_expression(text + " = 17") == read_expression(text)


@given(st.text(alphabet="0123456789+-*/()= \\frac{}×÷−.,xe_'\"[]^!\0\n", max_size=60))
@example("1" * 5_000)
@example("(" * 1_900)
@example("-" * 1_900 + "1")
@example(r"\frac" * 300)
@example(r"\frac{\frac{1}{2}}{" * 100)
@settings(max_examples=500)
def test_any_text_gets_a_verdict(text):
    gold = json.dumps({"numbers": [1, 2, 3], "target": 6})
    verdict, _, reason = judge_countdown(gold, f"<answer>{text}</answer>")
    assert REASONS[reason].startswith(verdict)


@pytest.mark.parametrize(
    "text", ["2(3)", "1.5+2", "3 4", "1,000+1", "2^3", "2**3", "1//2", "5%2", "1+", "()", "a+1", "1e3"]
)
def test_outside_the_grammar(text):
    with pytest.raises(NotAnExpression):
        evaluate(read_expression(text))


@pytest.mark.parametrize(
    "gold",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"numbers": [], "target": 1}',
        '{"numbers": [true], "target": 1}',
        '{"numbers": 5, "target": 1}',
        "[" * 100_000,
    ],
)
def test_unreadable_gold_is_said(gold):
    assert judge_countdown(gold, "<answer>1</answer>")[2] == "gold-unreadable"
