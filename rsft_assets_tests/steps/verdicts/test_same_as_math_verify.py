"""The shorter ways of `formulas`, `comparisons` and `math_answers` give what math-verify gives."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from math_verify import parse, verify
from math_verify.parser import parse_latex_cached
from sympy import Number, simplify, srepr

from rsft_assets.steps.verdicts.verifier.comparisons import is_certainly_not_zero
from rsft_assets.steps.verdicts.verifier.formulas import read_formula, read_number
from rsft_assets.steps.verdicts.verifier.math_answers import MathJudge
from rsft_assets_tests.benchmarks.verifier_pool import read_rows

DATA = Path(os.environ.get("RSFT_TEST_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))
ROWS = 120 if not os.environ.get("RSFT_TEST_ALL") else None

atoms = st.sampled_from(["2", "-3", "0", "10", "0.25", "x", "y", r"\pi", "e", "n", "7", "1,000", "100"])
shapes = st.sampled_from(
    [
        r"\frac{@}{@}",
        r"@\sqrt{@}",
        "@+@",
        "@-@",
        "@@",
        "(@, @)",
        "@^{@}",
        r"\{@, @\}",
        "@=@",
        r"\sqrt[3]{@}",
        "[@, @)",
        r"@\%",
    ]
)
formulas = st.recursive(
    atoms,
    lambda inner: st.tuples(shapes, inner, inner).map(
        lambda p: p[0].replace("@", f"{{{p[1]}}}" if "frac" in p[0] else p[1], 1).replace("@", p[2], 1)
    ),
    max_leaves=4,
)


def simplifies_to_zero(difference) -> bool | str:
    """What sympy says; its own crash is an outcome by name, and never the answer yes."""
    try:
        return simplify(difference).is_zero is True
    except Exception as error:
        return f"sympy crashed: {type(error).__name__}"


def outcome(read, latex: str) -> str:
    try:
        return srepr(read(latex))
    except Exception as error:
        return type(error).__name__


@given(st.one_of(formulas, st.integers(-(10**16), 10**16).map(str), st.from_regex(r"-?[0-9]{1,6}", fullmatch=True)))
@settings(max_examples=150)
def test_a_formula_is_read_as_math_verify_reads_it(latex):
    assert outcome(read_formula, latex) == outcome(parse_latex_cached, latex)


# Sympy takes minutes over an exponent of seven digits; that is for the time limit.
near_numbers = st.text("0123456789.e-", max_size=9).filter(lambda text: not re.search(r"e-?[0-9]{4}", text))


@given(st.one_of(st.from_regex(r"[0-9]{0,20}(\.[0-9]{0,20})?", fullmatch=True), near_numbers))
@settings(max_examples=300)
def test_a_number_is_read_as_sympy_reads_it(text):
    assert outcome(read_number, text) == outcome(Number, text)


numbers = st.sampled_from(["2", "7", "0.5", "3.89", r"\pi", "e", "1.7E3", "0.0001", "12.25", "0.333333333", "100"])
products = st.lists(numbers, min_size=1, max_size=3).map(r" \cdot ".join)
sums = st.lists(products, min_size=1, max_size=3).map(" - ".join)


@given(sums, sums)
@example(r"0.1 - 0.3", r"-0.2")
@example(r"3.14159265358979", r"\pi")
@example(r"0.333333333333333", r"\frac{1}{3}")
@settings(max_examples=60)
def test_a_sum_of_decimals_called_not_zero_is_not_simplified_to_zero(left, right):
    difference = read_formula(left) - read_formula(right)
    if is_certainly_not_zero(difference):
        assert simplifies_to_zero(difference) is not True


@given(formulas, formulas)
@example(r"e\sqrt{100n}", r"y\sqrt{x\sqrt{0\sqrt{10}}}")
@settings(max_examples=40)
def test_a_difference_called_not_zero_is_not_simplified_to_zero(left, right):
    try:
        difference = read_formula(left) - read_formula(right)
    except Exception:  # not formulas, or not numbers: nothing to compare
        return
    if is_certainly_not_zero(difference):
        assert simplifies_to_zero(difference) is not True


@pytest.mark.parametrize(
    ("gold", "text"),
    [
        (r"\sin^2 x + \cos^2 x", "1"),
        (r"\sqrt{3+2\sqrt{2}}", r"1+\sqrt{2}"),
        (r"\frac{1}{\sqrt{2}}", r"\frac{\sqrt{2}}{2}"),
        (r"\frac{x^2-1}{x-1}", "x+1"),
        (r"\ln(x^2)", r"2\ln(x)"),
        (r"\frac{1}{2^{99}}", r"\frac{1}{2^{98}}"),
        ("10^{-9}x", "10^{-10}x"),
        (r"\sqrt{x^2}", "x"),
        (r"x^{1/3}", r"\sqrt[3]{x}"),
    ],
)
def test_what_is_close_to_zero_is_left_to_math_verify(gold, text):
    difference = read_formula(gold) - read_formula(text)
    assert not (is_certainly_not_zero(difference) and simplifies_to_zero(difference) is True)


@pytest.mark.skipif(not (DATA / "math_responses").is_dir(), reason=f"no real answers at {DATA}; set RSFT_TEST_DATA")
@pytest.mark.parametrize("name", ["skythought_pairs", "qwen_math_maj8_pairs", "gsm8k_example_model_solutions"])
def test_real_answers_have_the_verdicts_of_math_verify(name):
    judge = MathJudge()
    rows = read_rows(DATA, name)
    step = 1 if ROWS is None else len(rows) // ROWS
    differing = []
    for row in [row for row in rows[::step] if row["response"].count(r"\boxed{") < 50]:
        gold = row.get("gold_raw") or row["gold"]
        verdict, _, reason = judge.judge(gold, row["response"])
        if (verdict == "correct") != verify(parse(f"${gold}$"), parse(row["response"])):
            differing.append((gold, verdict, reason, row["response"][-200:]))
    assert not differing
