"""A program of a sandbox, from what it finds defined to what it does at its end.

Comes in: {"code", "kind", "entry"}; the input on descriptor 0. Goes out: the exit status; output on descriptor 1, or
the result of the function as JSON on descriptor 3. Called in a process without privileges. Standard library only: the
server loads this file by its path.
"""

import atexit
import contextlib
import json
import os
import sys
import threading
from decimal import Decimal
from fractions import Fraction
from typing import Any, TextIO

_STARRED = (
    *("string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random", "statistics"),
    *("itertools", "functools", "operator", "io", "sys", "json"),
)
_PRELUDE = "\n".join(
    [*(f"from {name} import *" for name in (*_STARRED, "builtins", "typing")), f"import {', '.join(_STARRED)}", ""]
)
"""LiveCodeBench's own harness gives these names to every program."""
_SPACE: dict[str, Any] = {}
"""What a program finds defined. Filled once, before any program is here; each test has its own copy by being a fork."""
exec(_PRELUDE, _SPACE)


def execute(job: dict[str, Any]) -> int:
    sys.setrecursionlimit(200_000)
    sys.argv = ["program.py"]
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    # Not a copy: that would write to every page that holds one of its objects, and this process shares them.
    space = _SPACE
    space.update({name: getattr(sys, name) for name in ("argv", "stdin", "stdout", "stderr")})
    space["__name__"] = "__main__" if job["kind"] == "stdin" else "program"
    code, answer = 0, b""
    try:
        exec(compile(job["code"], "program.py", "exec"), space)
        if job["kind"] == "function":
            function = _entry(space, job["entry"])
            arguments = [json.loads(line) for line in sys.stdin.read().split("\n") if line.strip()]
            answer = json.dumps(function(*arguments), default=_plain).encode()
    except SystemExit as leave:
        code = leave.code if isinstance(leave.code, int) else int(leave.code is not None)
    if job["kind"] == "stdin":
        _finish(stdout)
    while answer:
        answer = answer[os.write(3, answer) :]
    return code


def _finish(stdout: TextIO) -> None:
    """What Python does at its end, and multiprocessing in a forked child: wait for threads, call exit handlers, flush.

    All of it still runs without privileges and within the limits.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, stdout):
        with contextlib.suppress(Exception):
            stream.flush()


def _entry(space: dict[str, Any], name: str) -> Any:
    owner = space.get("Solution")
    return getattr(owner(), name) if owner is not None and hasattr(owner, name) else space[name]


def _plain(value: Any) -> Any:
    """A result that JSON does not know, as numbers and lists where it is made of them."""
    if hasattr(value, "tolist"):  # numpy's scalars and arrays
        return value.tolist()
    if isinstance(value, Fraction | Decimal):
        with contextlib.suppress(ArithmeticError, ValueError):  # not a finite number
            # Exact where it can be: a float holds 53 bits.
            return int(value) if value == int(value) else float(value)
    return list(value) if hasattr(value, "__iter__") else str(value)
