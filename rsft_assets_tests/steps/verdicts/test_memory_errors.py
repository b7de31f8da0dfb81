"""A failed allocation anywhere inside math-verify makes an answer undecided, never wrong."""

import pytest

from rsft_assets.steps.verdicts.verifier import memory_errors
from rsft_assets.steps.verdicts.verifier.comparisons import quicken
from rsft_assets.steps.verdicts.verifier.math_answers import MathJudge
from rsft_assets.steps.verdicts.verifier.memory_errors import PLACES, Undecided, telling

REACHED = {
    "sympy_expr_eq": (r"\sqrt{2}", r"$\sqrt{3}$"),
    "simplify": (r"\frac{x^2-1}{x-1}", "$x+2$"),
    "solve": ("x+y=1", "$y=2-x$"),
    "safe_sympy_doit": ("1.5", r"$\frac{5}{3}$"),
    "unwrap_fcs": ("1 < x < 2", "$(1,3)$"),
    "parse_latex_cached": ("5", "$1$ and $2$"),
    "parse_expr_cached": ("5", "so 1/2 + 1/3"),
    "evalf": (r"\sqrt{2}", r"$\sqrt{3}$"),
    "round": ("1.5", "$1.25$"),
    "symmetric_difference": (r"\{1,2\}", r"$\{1,3\}$"),
    "as_set": ("1 < x < 2", "$(1,3)$"),
}


def out_of_memory(*arguments, **named):
    raise MemoryError


@pytest.mark.parametrize(("owner", "name"), PLACES, ids=lambda part: part if isinstance(part, str) else "")
def test_out_of_memory_is_undecided(owner, name, monkeypatch):
    for place in PLACES:  # put back afterwards what quicken replaces
        monkeypatch.setattr(*place, getattr(*place))
    quicken()
    gold, text = REACHED[name]
    assert MathJudge().judge(gold, text)[0] == "wrong"
    monkeypatch.setattr(owner, name, telling(out_of_memory))
    with pytest.raises(Undecided, match="memory"):
        MathJudge().judge(gold, text)


def test_a_doit_that_fails_otherwise_leaves_the_value():
    class Value:
        def doit(self):
            raise ValueError

    value = Value()
    assert memory_errors._doit(value) is value
    value.doit = out_of_memory
    with pytest.raises(MemoryError):
        memory_errors._doit(value)
