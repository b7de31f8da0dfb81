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
        ("np.array([[1, 2], [3, 4]])", "[[1, 2], [3, 4]]"),
        ("np.float64(0.1)", "0.1"),
        ("Fraction(6, 2)", "3"),
        ("[Fraction(1, 2)]", "[0.5]"),
        ("Fraction(2**60 + 1)", str(2**60 + 1)),
        ("Decimal('0.1')", "0.1"),
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
@pytest.mark.parametrize("result", ["Fraction(1, 3)", "Decimal('NaN')", "Decimal('Infinity')", "Decimal('sNaN')"])
def test_a_number_that_is_another_is_wrong(sandbox, result):
    assert run(sandbox, RETURN.format(result), ("", "0.3"), entry="f").status == "wrong"
