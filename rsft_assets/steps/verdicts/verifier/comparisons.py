"""Differences that are certainly not zero are not simplified.

Comes in: nothing; `quicken()` once in a process that judges. Goes out: math-verify's symbolic comparison in that
process, which asks whether `simplify(gold - answer)` is zero, with the question answered first by numbers.

Why the verdict stays: `simplify` keeps the value of an expression. Where the difference, at a point of its real
variables and computed to 30 certain digits, is not zero, no simplification of it is zero. Only expressions of exact
numbers, real variables, sums, products, powers, exp, log, sin, cos and tan take this way, since there every rule of
`simplify` is an identity.

For floating-point numbers it has tolerances: one of at least a thousandth may become another number that is equal to 12
digits. A sum of products of at most 20 such numbers and their powers up to the hundredth moves by that by less than
1e-8 of its terms' sizes; where it is above a millionth of them, it is not zero.
"""

from typing import Any

import math_verify.grader
import math_verify.parser
from sympy import Add, Basic, Expr, Float, Mul, Pow, Rational, S, Symbol, cos, exp, log, preorder_traversal, sin, tan
from sympy import simplify as full_simplify
from sympy.core.numbers import Exp1, Pi

from rsft_assets.steps.verdicts.verifier.formulas import read_formula, read_number

_EXACT = (Add, Mul, Pow, Rational, Pi, Exp1, exp, log, sin, cos, tan)
_NODES = 200
_DIGITS = 30
_CLEARLY = Rational(1, 10**8)
_FACTORS, _EXPONENT, _SHARE = 20, 100, Rational(1, 10**6)
_FLOAT_BITS, _FLOAT_LEAST = 53, Rational(1, 1000)
_POINTS = tuple(Rational(prime, 1009) for prime in (1477, 2741, 3701, 1613, 4457, 2087, 3301, 1187, 5003, 2521))


def quicken() -> None:
    """From now on math-verify takes the shorter ways in this process. For processes that do nothing but judge."""
    math_verify.grader.simplify = _simplify
    math_verify.parser.parse_latex_cached = read_formula
    math_verify.parser.Number = read_number


def is_certainly_not_zero(difference: Any) -> bool:
    """Whether a number computed with certain digits says so; False says nothing."""
    if not isinstance(difference, Expr):
        return False
    if difference.has(Float):
        return _is_clear_sum(difference)
    if not _is_plain(difference):
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


def _is_clear_sum(difference: Expr) -> bool:
    """Whether a sum of products with floating-point numbers is far from zero, measured by its terms."""
    terms = Add.make_args(difference)
    if len(terms) > _NODES or not all(0 < _factors(term) <= _FACTORS for term in terms):
        return False
    sizes = [term.evalf(_DIGITS) for term in terms]
    return all(size.is_Float or size.is_Rational for size in sizes) and bool(
        abs(sum(sizes)) > _SHARE * sum(abs(size) for size in sizes)
    )


def _factors(term: Basic) -> int:
    """How many numbers are multiplied; more than are allowed where something else is among them."""
    if isinstance(term, Mul):
        return sum(_factors(factor) for factor in term.args)
    if isinstance(term, Pow):
        base, exponent = term.args
        plain = _is_number(base) and base.is_positive and exponent.is_Rational and abs(exponent) <= _EXPONENT
    else:
        plain = _is_number(term)
    return 1 if plain else _FACTORS + 1


def _is_number(expression: Basic) -> bool:
    if isinstance(expression, Float):
        return bool(expression._prec >= _FLOAT_BITS and abs(expression) >= _FLOAT_LEAST)
    return isinstance(expression, Rational | Pi | Exp1)


def _simplify(difference: Any) -> Any:
    try:
        certain = is_certainly_not_zero(difference)
    except Exception:  # no number, no certainty; math-verify would take this failure for "not equal"
        certain = False
    # Any number that is not zero answers the one question that is asked of the result.
    return S.One if certain else full_simplify(difference)
