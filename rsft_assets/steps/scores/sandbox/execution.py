"""A program of a sandbox, from what it finds defined to what it does at its end.

Comes in: {"code", "kind", "entry", "bare"}; the input on descriptor 0. Goes out: the exit status; output on descriptor
1, or the result of the function as JSON on descriptor 3. Called in a process without privileges. Standard library only:
the server loads this file by its path.
"""

import ast
import atexit
import builtins
import contextlib
import io
import json
import os
import sys
import threading
from collections.abc import Iterator
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
    if job["bare"]:
        return _execute_bare(job)
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
            arguments = [json.loads(line) for line in sys.stdin.read().split("\n") if line.strip()]
            result = _entry(space, job, len(arguments))(*arguments)
            # The harness takes a tuple for a list, but none inside.
            answer = _as_json(list(result) if isinstance(result, tuple) else result)
    except SystemExit as leave:
        code = leave.code if isinstance(leave.code, int) else int(leave.code is not None)
    if job["kind"] == "stdin":
        _finish(stdout)
    _write(3, answer)
    return code


def _execute_bare(job: dict[str, Any]) -> int:
    """As the paper's authors run a program: a name space of its own, streams that are texts without a buffer, no exit.

    They also disable functions. Here only those that end a program are disabled; the sandbox stops the others.
    """
    given = io.FileIO(0, closefd=False).readall().decode("utf-8", "surrogatepass")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for name in ("ipdb", "joblib", "resource", "psutil", "tkinter"):
        sys.modules[name] = None  # type: ignore[assignment]
    builtins.exit = builtins.quit = None  # type: ignore[assignment]
    sys.stdin, sys.stdout = io.StringIO(given), (printed := io.StringIO())
    space: dict[str, Any] = {}
    exec(job["code"], space)
    if job["kind"] == "stdin":
        _write(1, printed.getvalue().encode("utf-8", "surrogatepass"))
    else:
        _write(3, _as_json(space[job["entry"]](*(json.loads(line) for line in given.split("\n") if line))))
    return 0


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _finish(stdout: TextIO) -> None:
    """What Python does at its end, and multiprocessing in a forked child: wait for threads, call exit handlers, flush.

    All of it still runs without privileges and within the limits.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, stdout):
        with contextlib.suppress(Exception):
            stream.flush()


def _entry(space: dict[str, Any], job: dict[str, Any], count: int) -> Any:
    """The function of the published name, else the one that the program defines: the harness looks for a `Solution`.

    Of several, the last that takes as many arguments as the test gives and that no other such one mentions.
    """
    body = ast.parse(job["code"]).body
    owners = [node for node in body if isinstance(node, ast.ClassDef) and node.name == "Solution"]
    owner = space["Solution"]() if owners else None
    if owner is not None and hasattr(owner, job["entry"]):
        return getattr(owner, job["entry"])
    own = {ast.unparse(name) for node in body if isinstance(node, ast.Assign) for name in node.targets}
    mine = {node.name: node for node in body if isinstance(node, ast.FunctionDef)}
    if job["entry"] in own | mine.keys():
        return space[job["entry"]]
    if owners:
        mine = {node.name: node for node in owners[-1].body if isinstance(node, ast.FunctionDef)}
    fitting = {name: node for name, node in mine.items() if _takes(node, count, method=bool(owners))}
    mentioned = {name: {*_names(node)} for name, node in fitting.items()}
    free = [name for name in fitting if not any(name in mentioned[other] for other in fitting if other != name)]
    for name in reversed(free or [*fitting]):
        return getattr(owner, name) if owners else space[name]
    raise NameError(f"the program defines no function of {count} arguments")


def _takes(node: ast.FunctionDef, count: int, *, method: bool) -> bool:
    names = [*node.args.posonlyargs, *node.args.args]
    static = any(isinstance(part, ast.Name) and part.id == "staticmethod" for part in node.decorator_list)
    most = len(names) - (method and not static)
    return most - len(node.args.defaults) <= count and (count <= most or node.args.vararg is not None)


def _names(node: ast.AST) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            yield part.id
        elif isinstance(part, ast.Attribute):
            yield part.attr


def _as_json(value: Any) -> bytes:
    """A result that equals, as Python compares values, what JSON holds; any other equals nothing: NaN."""
    text = json.dumps(value, default=_plain)
    try:
        same = bool(json.loads(text) == value)
    except ValueError:  # an array says nothing about all of itself
        same = False
    return text.encode() if same else b"NaN"


def _plain(value: Any) -> Any:
    """A result that JSON does not know, as numbers and lists where it is made of them."""
    if hasattr(value, "tolist"):  # numpy's scalars and arrays
        return value.tolist()
    if isinstance(value, Fraction | Decimal):
        with contextlib.suppress(ArithmeticError, ValueError):  # not a finite number
            # Exact where it can be: a float holds 53 bits.
            return int(value) if value == int(value) else float(value)
    return list(value) if hasattr(value, "__iter__") else str(value)
