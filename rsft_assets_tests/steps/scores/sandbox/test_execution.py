"""What a program of the sandbox finds defined, how it ends, and how its results are read."""

import pytest

from rsft_assets.steps.scores.sandbox.pool import SandboxPool
from rsft_assets_tests.steps.scores.grading.test_code import needs_isolation, run

RETURN = "from fractions import Fraction\nfrom decimal import Decimal\ndef f():\n  return {}"


@pytest.fixture(scope="module")
def sandbox():
    with SandboxPool(workers=1) as sandbox:
        yield sandbox


@needs_isolation
@pytest.mark.parametrize(
    "code",
    [
        "import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.3), print('fine'))).start()",
        "from concurrent.futures import ThreadPoolExecutor\nThreadPoolExecutor().submit(print, 'fine')",
        "import atexit\natexit.register(print, 'fine')",
        "import atexit, sys\natexit.register(print, 'fine')\nsys.exit(0)",
        "import atexit, io, os, sys\nsys.stdout = io.StringIO()\n"
        "atexit.register(lambda: os.write(1, sys.stdout.getvalue().encode()))\nprint('fine')",
        "import io, sys\nprint('fine')\nsys.stdout = io.StringIO()\nprint('noise')",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()\nprint('fine')",
        "print('fine')\nsys.stdout.close()",
    ],
)
def test_a_program_ends_as_plain_python_does(sandbox, code):
    assert run(sandbox, code).status == "passed"


@needs_isolation
@pytest.mark.parametrize(
    "code",
    [
        "print(stdin.readline().strip())",
        "print(sys.stdin.read().strip())",
        "stdout.write(StringIO(input()).read())",
        "print(io.BytesIO(input().encode()).read().decode())",
        "print(loads(dumps(input())))",
        "print(json.loads(json.dumps(input())))",
        "setrecursionlimit(10**6)\nprint(input() if maxsize and argv else '')",
        "print(input(), sep=str(Counter('a')['b']))",
    ],
)
def test_names_of_the_authors_harness_are_defined(sandbox, code):
    assert run(sandbox, code, ("fine", "fine")).status == "passed"


@needs_isolation
@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ("np.int64(3)", "3"),
        ("[np.int64(3), np.float32(0.5)]", "[3, 0.5]"),
        ("np.bool_(True)", "true"),
        ("np.float64(0.1)", "0.1"),
        ("Fraction(6, 2)", "3"),
        ("[Fraction(1, 2)]", "[0.5]"),
        ("Fraction(2**60 + 1)", str(2**60 + 1)),
        ("Decimal('0.5')", "0.5"),
        ("{'a': Decimal(3)}", '{"a": 3}'),
    ],
)
def test_numbers_of_other_types_are_numbers(sandbox, result, expected):
    code = (
        f"import numpy as np\nfrom fractions import Fraction\nfrom decimal import Decimal\ndef f():\n  return {result}"
    )
    with SandboxPool(workers=1) as sandbox:
        assert run(sandbox, code, ("", expected), entry="f").status == "passed"


@needs_isolation
@pytest.mark.parametrize(
    ("result", "expected"),
    [
        *((number, "0.3") for number in ("Fraction(1, 3)", "Decimal('NaN')", "Decimal('Infinity')", "Decimal('sNaN')")),
        ("Decimal('0.1')", "0.1"),
        ("__import__('numpy').array([1, 2])", "[1, 2]"),
        ("[(1, 2)]", "[[1, 2]]"),
        ("{1, 2}", "[1, 2]"),
        ("iter([1, 2])", "[1, 2]"),
        ("{1: 2}", '{"1": 2}'),
    ],
)
def test_a_result_that_python_does_not_take_for_the_expected_one_is_wrong(sandbox, result, expected):
    assert run(sandbox, RETURN.format(result), ("", expected), entry="f").status == "wrong"


NAMES = {
    "a function of another name": ("def g(a, b):\n  return a + b", "passed"),
    "a class with a method of another name": ("class Solution:\n  def g(self, a, b):\n    return a + b", "passed"),
    "a static method": ("class Solution:\n  @staticmethod\n  def g(a, b):\n    return a + b", "passed"),
    "a helper before": ("def add(x, y):\n  return x + y\ndef g(a, b):\n  return add(a, b)", "passed"),
    "a helper after": ("def g(a, b):\n  return add(a, b)\ndef add(x, y):\n  return x + y", "passed"),
    "a method that helps": (
        "class Solution:\n  def g(self, a, b):\n    return self.add(a, b)\n  def add(self, x, y):\n    return x + y",
        "passed",
    ),
    "a helper of fewer arguments": ("def g(a, b):\n  return a + b\ndef twice(n):\n  return 2 * n", "passed"),
    "a main that calls it": ("def g(a, b):\n  return a + b\ndef main():\n  print(g(1, 2))", "passed"),
    "defaults": ("def g(a, b, memo=None):\n  return a + b", "passed"),
    "any number of arguments": ("def g(*numbers):\n  return sum(numbers)", "passed"),
    "the published name, and others": ("def f(a, b):\n  return a + b\ndef g(a, b):\n  return 0", "passed"),
    "a lambda of the published name": ("f = lambda a, b: a + b", "passed"),
    "one decorated": ("@lru_cache(None)\ndef g(a, b):\n  return a + b", "passed"),
    "no function of so many arguments": ("def g(a):\n  return a", "error"),
    "no function": ("print(1)", "error"),
}


@needs_isolation
@pytest.mark.parametrize("name", NAMES)
def test_what_an_answer_defines_is_called_where_it_does_not_use_the_published_name(sandbox, name):
    code, status = NAMES[name]
    assert run(sandbox, code, ("1\n2", "3"), entry="f").status == status


@needs_isolation
def test_a_name_that_the_harness_defines_is_no_answer(sandbox):
    assert run(sandbox, "def g(a, b):\n  return a + b", ("1\n2", "3"), entry="truediv").status == "passed"
