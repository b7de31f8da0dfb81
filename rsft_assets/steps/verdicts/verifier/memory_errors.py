"""An allocation that fails inside math-verify makes the answer undecided, not wrong.

Comes in: nothing; `let_through()` once in a process that judges. Goes out: functions of math-verify and sympy, replaced
in that process, which turn a `MemoryError` into `Undecided`. math-verify takes every `Exception` for "not equal" or "no
value" in many places; these are the calls inside those places.
"""

import functools
from collections.abc import Callable
from typing import Any

import math_verify.grader
import math_verify.parser
from sympy import Expr, Set
from sympy.core.evalf import EvalfMixin
from sympy.logic.boolalg import Boolean

PLACES: tuple[tuple[Any, str], ...] = (
    *((math_verify.grader, name) for name in ("sympy_expr_eq", "simplify", "solve", "safe_sympy_doit", "unwrap_fcs")),
    *((math_verify.parser, name) for name in ("parse_latex_cached", "parse_expr_cached")),
    (EvalfMixin, "evalf"),
    (Expr, "round"),
    (Set, "symmetric_difference"),
    (Boolean, "as_set"),
)


class Undecided(BaseException):
    """A step that cannot be done or once reached a limit. No `Exception`: math-verify swallows those."""


def let_through() -> None:
    """For processes that do nothing but judge."""
    math_verify.grader.safe_sympy_doit = _doit
    for owner, name in PLACES:
        setattr(owner, name, telling(getattr(owner, name)))


def telling(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, `Undecided` instead of `MemoryError`."""

    @functools.wraps(function, updated=())
    def wrapped(*arguments: Any, **named: Any) -> Any:
        try:
            return function(*arguments, **named)
        except MemoryError:
            pass
        raise Undecided("memory")

    return wrapped


def _doit(value: Any) -> Any:
    """math-verify's `safe_sympy_doit`, but for the one failure."""
    try:
        return value.doit()
    except MemoryError:
        raise
    except Exception:
        return value
