r"""Formulas read as math-verify reads them, in a fraction of the time.

Comes in: normalised LaTeX. Goes out: the sympy value that `math_verify.parser.parse_latex_cached` gives, or its
exception. Four ways are shorter, and none changes the outcome:

Whole numbers of up to 15 digits are what the grammar makes of them, an `Integer`.

ANTLR's SLL prediction needs a sixth of the time of its full LL prediction. Where an SLL parse succeeds, its tree is the
one that LL gives (ANTLR's documentation of `PredictionMode.SLL`); where it fails, LL decides.

ANTLR's LL prediction forgets what it found. It is a function of the decision, the rules that are open, the precedence
at hand and the tokens it looks at, so for equal ones the answer is kept.

Numbers inside a formula are made without the Python parser through which sympy reads a number's text.
"""

import re
from typing import Any, ClassVar

from antlr4.atn.ParserATNSimulator import ParserATNSimulator
from antlr4.atn.PredictionMode import PredictionMode
from latex2sympy2_extended.latex2sympy2 import _Latex2Sympy
from math_verify.grader import should_treat_as_complex
from math_verify.parser import get_last_eq
from sympy import Float, Integer, Number

from rsft_assets.steps.verdicts.verifier.fork_server_wire import WHOLE_NUMBER

_DIGITS = re.compile(r"0|[1-9][0-9]{0,39}")
_DECIMAL = re.compile(r"[0-9]{0,40}\.[0-9]{1,40}")
_CONTEXTS_KEPT = 20_000

_Ahead = dict[int, Any]
"""By the type of the next token: the alternative to take, or what to do with the token after it."""


def read_formula(latex: str) -> Any:
    """The value of a formula; raises what math-verify's grammar raises."""
    if WHOLE_NUMBER.fullmatch(latex):
        return Integer(latex)
    try:
        return _read(latex)
    except MemoryError:
        raise
    except Exception:  # as in math-verify, a chain of equations that cannot be read is its last side
        last = get_last_eq(latex)
        if last == latex:
            raise
        return _read(last)


def read_number(text: str) -> Any:
    """`sympy.Number(text)`."""
    if _DIGITS.fullmatch(text):
        return Integer(int(text))
    return Float(text) if _DECIMAL.fullmatch(text) else Number(text)


def _read(latex: str) -> Any:
    is_real = not should_treat_as_complex(latex)
    try:
        return _QuickReader(is_real=is_real).parse(latex)
    except MemoryError:
        raise
    except Exception:  # a failure here says nothing yet: full prediction is to be tried
        return _FullReader(is_real=is_real).parse(latex)


class _Reader(_Latex2Sympy):  # type: ignore[misc]
    def parse_number(self, text: str) -> Any:
        text = text.replace(",", "")
        return read_number((text.lstrip("0") or text[-1:]) if text.isdigit() else text)


class _QuickReader(_Reader):
    def create_parser(self, latex_str: str) -> Any:
        parser = super().create_parser(latex_str)
        parser._interp.predictionMode = PredictionMode.SLL
        return parser


class _FullReader(_Reader):
    def create_parser(self, latex_str: str) -> Any:
        parser = super().create_parser(latex_str)
        forgetful = parser._interp
        parser._interp = _RememberingSimulator(
            parser, forgetful.atn, forgetful.decisionToDFA, forgetful.sharedContextCache
        )
        return parser


class _RememberingSimulator(ParserATNSimulator):  # type: ignore[misc]
    """LL prediction that keeps what it found with full context; what ends in an error is not kept."""

    _found: ClassVar[dict[tuple[int, int, tuple[int, ...]], _Ahead]] = {}
    _viable = True

    def computeStartState(self, p: Any, ctx: Any, fullCtx: bool) -> Any:
        # With full context it is asked for just before the prediction, which may not need it.
        return None if fullCtx else super().computeStartState(p, ctx, fullCtx)

    def noViableAlt(self, *arguments: Any) -> Any:
        self._viable = False
        return super().noViableAlt(*arguments)

    def execATNWithFullContext(self, dfa: Any, D: Any, s0: Any, input: Any, startIndex: int, outerContext: Any) -> int:
        ahead = self._known(dfa.decision, outerContext)
        input.seek(startIndex)
        place = 1
        entry: Any = ahead
        while isinstance(entry, dict):
            entry = entry.get(input.LA(place))
            place += 1
        if entry is not None:
            return int(entry)
        start = super().computeStartState(dfa.atnStartState, outerContext, True)
        self._viable = True
        alternative: int = super().execATNWithFullContext(dfa, D, start, input, startIndex, outerContext)
        if self._viable:
            looked_at = input.index - startIndex + 1
            input.seek(startIndex)
            _remember(ahead, [input.LA(offset) for offset in range(1, looked_at + 1)], alternative)
        return alternative

    def _known(self, decision: int, context: Any) -> _Ahead:
        rules = []
        while context is not None:
            rules.append(context.invokingState)
            context = context.parentCtx
        if len(self._found) >= _CONTEXTS_KEPT:
            self._found.clear()
        return self._found.setdefault((decision, self.parser._precedenceStack[-1], tuple(rules)), {})


def _remember(ahead: _Ahead, tokens: list[int], alternative: int) -> None:
    for token in tokens[:-1]:
        ahead = ahead.setdefault(token, {})
    ahead[tokens[-1]] = alternative
