r"""The candidates found without scanning are those that math-verify's own scan finds, in the same order.

The reference is the rule itself: all matches of all patterns, by priority, then rightmost end, then leftmost start.
"""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from math_verify import ExprExtractionConfig, LatexExtractionConfig
from math_verify.parser import get_extraction_regexes

import rsft_assets.steps.verdicts.verifier.candidates as candidates_module
from rsft_assets.steps.verdicts.verifier.candidates import candidates, is_known_version

PIECES = (
    *(
        r"\boxed{",
        r"\boxed{7}",
        r"\boxed{}",
        r"\boxed {3}",
        "}",
        "{",
        "$",
        "$$",
        r"\$",
        r"\\$",
        r"\(",
        r"\)",
        r"\[",
        r"\]",
    ),
    *(
        r"\\[",
        r"\\]",
        r"\\(",
        "[",
        "]",
        " [",
        "] ",
        "\n",
        "\n\n",
        " ",
        "x",
        "42",
        "-1/2",
        "3.5",
        "1,000",
        r"\frac{1}{2}",
        "%",
    ),
    *(
        " and ",
        " or ",
        ", ",
        "answer",
        "Answer: ",
        "aNſwer",
        "final answer",
        "The final answer is ",
        "final answer is: ",
        "=",
    ),
    *("\nSo ", "\n\nThe ", "\n  Thus", "\nP", "\nA ", "\nor"),
    *(". I hope", "I hope it is correct", "percent", "$5$", r"\(x\)", r"\[ y \]", " [z] ", "$$w$$", "is", ":", "\\"),
)

texts = st.lists(st.sampled_from(PIECES), max_size=24).map("".join)


def scanned(text: str) -> list[tuple[int, int, str]]:
    """Spans and patterns in the order of math-verify's rule."""
    patterns = [
        (priority, pattern)
        for compiled, _ in get_extraction_regexes([LatexExtractionConfig(), ExprExtractionConfig()])
        for pattern, priority in compiled
    ]
    ordered = []
    for priority in sorted({priority for priority, _ in patterns}):
        found = [match for of, pattern in patterns if of == priority for match in pattern.finditer(text)]
        found.sort(key=lambda match: (match.end(), -match.start()), reverse=True)
        ordered += found
    return [described(match) for match in ordered]


def described(match: re.Match[str]) -> tuple[int, int, str]:
    return match.start(), match.end(), match.re.pattern


def test_the_installed_math_verify_is_the_one_the_order_was_written_for():
    assert is_known_version(), "candidates.py must be checked against this math-verify before it is trusted"


@pytest.mark.parametrize("stretch", [1, 20, candidates_module.STRETCH])
@given(text=texts)
@example(text=r"$$\boxed{1}$$ and $\boxed{2}$")
@example(text=r"\[ a \boxed{1} \] \(\boxed{2}\)")
@example(text=r"$$$\boxed{1}$$$")
@example(text=r"$5 \$ \boxed{\$3} \$$")
@example(text="[\n [\\boxed{4}] ")
@example(text=r"\boxed{1} } \boxed{2")
@settings(max_examples=400)
def test_same_candidates_in_the_same_order(stretch, text):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidates_module, "STRETCH", stretch)
        found = [described(match) for match, _ in candidates(text)]
    assert found == scanned(text)


@pytest.mark.parametrize("box", [r"\boxed{}. ", r"\boxed{10} ", r"\boxed{\text{no}}\n"])
def test_loops_of_boxes_have_the_candidates_of_a_scan(box):
    text = "So the answer is \n" + box * 12 + "$x$"
    assert [described(match) for match, _ in candidates(text)] == scanned(text)
