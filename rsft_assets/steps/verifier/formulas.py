r"""Formulas read as math-verify reads them, in a fraction of the time.

Comes in: normalised LaTeX. Goes out: the sympy value that `math_verify.parser.parse_latex_cached` gives, or its
exception. Two ways are shorter, and neither changes the outcome:

Whole numbers of up to 15 digits are what the grammar makes of them, an `Integer`.

ANTLR's SLL prediction needs a sixth of the time of its full LL prediction. Where an SLL parse succeeds, its tree is the
one that LL gives (ANTLR's documentation of `PredictionMode.SLL`); where it fails, LL decides.
"""

import re
from typing import Any

from antlr4.atn.PredictionMode import PredictionMode
from latex2sympy2_extended.latex2sympy2 import _Latex2Sympy
from math_verify.grader import should_treat_as_complex
from math_verify.parser import parse_latex_cached
from sympy import Integer

_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,14})")


class _QuickReader(_Latex2Sympy):  # type: ignore[misc]
    def create_parser(self, latex_str: str) -> Any:
        parser = super().create_parser(latex_str)
        parser._interp.predictionMode = PredictionMode.SLL
        return parser


def read_formula(latex: str) -> Any:
    """The value of a formula; raises what math-verify's grammar raises."""
    if _WHOLE.fullmatch(latex):
        return Integer(latex)
    try:
        return _QuickReader(is_real=not should_treat_as_complex(latex)).parse(latex)
    except MemoryError:
        raise
    except (
        Exception
    ):  # a failure here says nothing yet: full prediction and math-verify's last equation are to be tried
        return parse_latex_cached(latex)
