"""Differences that are certainly not zero are not simplified.

Comes in: nothing; `quicken()` once in a process that judges. Goes out: math-verify's symbolic comparison in that
process, which asks whether `simplify(gold - answer)` is zero, with the question answered first by numbers.

Why the verdict stays: `simplify` keeps the value of an expression. Where the difference, at a point of its real
variables and computed to 30 certain digits, is not zero, no simplification of it is zero. Only expressions of exact
numbers, real variables, sums, products, powers, exp, log, sin, cos and tan take this way, since there every rule of
`simplify` is an identity; floating-point numbers, for which it has tolerances, never do.
"""

from typing import Any

import math_verify.grader
from sympy import Add, Basic, Expr, Float, Mul, Pow, Rational, S, Symbol, cos, exp, log, preorder_traversal, sin, tan
from sympy import simplify as full_simplify
from sympy.core.numbers import Exp1, Pi

_EXACT = (Add, Mul, Pow, Rational, Pi, Exp1, exp, log, sin, cos, tan)
_NODES = 200
_DIGITS = 30
_CLEARLY = Rational(1, 10**8)
_POINTS = tuple(Rational(prime, 1009) for prime in (1477, 2741, 3701, 1613, 4457, 2087, 3301, 1187, 5003, 2521))


def quicken() -> None:
    """From now on this process compares by numbers first. For processes that do nothing but judge."""
    math_verify.grader.simplify = _simplify


def is_certainly_not_zero(difference: Any) -> bool:
    """Whether a number computed with certain digits says so; False says nothing."""
    if not isinstance(difference, Expr) or not _is_plain(difference):
        return False
    variables = sorted(difference.free_symbols, key=str)
    if len(variables) > len(_POINTS):
        return False
    point = dict(zip(variables, _POINTS, strict=False))
    value = difference.evalf(_DIGITS, subs=point)
    if not value.is_number or value.free_symbols:
        return False
    parts = value.as_real_imag()
    return all(part.is_Float or part.is_zero for part in parts) and any(
        part.is_Float and part._prec > 1 and abs(part) > _CLEARLY for part in parts
    )


def _is_plain(expression: Basic) -> bool:
    for count, node in enumerate(preorder_traversal(expression)):
        if count > _NODES or isinstance(node, Float):
            return False
        if not (isinstance(node, _EXACT) or (isinstance(node, Symbol) and node.is_real)):
            return False
    return True


def _simplify(difference: Any) -> Any:
    try:
        certain = is_certainly_not_zero(difference)
    except Exception:  # no number, no certainty; math-verify would take this failure for "not equal"
        certain = False
    # Any number that is not zero answers the one question that is asked of the result.
    return S.One if certain else full_simplify(difference)
