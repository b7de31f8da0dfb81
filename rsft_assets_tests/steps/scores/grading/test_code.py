"""The sandbox against hostile programs, and LiveCodeBench's way of judging."""

import ast
import base64
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.placement import Placement
from rsft_assets.steps.processes.parent_death import process_stat
from rsft_assets.steps.scores.grading.task import Item, Sample
from rsft_assets.steps.scores.grading.tools import Tools
from rsft_assets.steps.scores.kinds.livecodebench import (
    TASK,
    cases_of,
    code_in,
    decoded,
    entry_of,
    prompt,
    same_output,
    same_value,
)
from rsft_assets.steps.scores.sandbox import pool as pool_module
from rsft_assets.steps.scores.sandbox.pool import (
    Case,
    CodeLimits,
    Program,
    SandboxPool,
    SandboxServer,
    isolation_problem,
)
from rsft_assets_tests.steps.scores.grading.published import folder, rows
from rsft_assets_tests.steps.small_chain import benchmark

problem = isolation_problem()
needs_isolation = pytest.mark.skipif(bool(problem), reason=problem)
LIMITS = CodeLimits(seconds=20, memory_bytes=256 << 20, output_bytes=1 << 20, scratch_bytes=8 << 20)


@pytest.fixture(scope="module")
def sandbox():
    with SandboxPool(workers=2, limits=LIMITS) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def hasty():
    """For programs that never end."""
    with SandboxPool(workers=1, limits=replace(LIMITS, seconds=2.5, wall_seconds=5.0)) as sandbox:
        yield sandbox


def run(sandbox, code, *tests, entry=None):
    cases = tuple(Case(*test) for test in tests or [("", "fine")])
    accept = same_output if entry is None else same_value
    [outcome] = sandbox.run(
        [Program(code, tuple(Case(*case) if isinstance(case, tuple) else case for case in cases), accept, entry)]
    )
    return outcome


HOSTILE = {
    "forks without end": ("import os\nwhile True: os.fork()", {"error"}),
    "forks and lets go": ("import os\ntry:\n  os.fork()\nexcept OSError: print('fine')", {"passed"}),
    "starts threads without end": (
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(9,)).start()",
        {"error", "memory", "time", "killed"},
    ),
    "runs a command": ("import os\nos.execv('/bin/sh', ['sh', '-c', 'echo fine'])", {"error"}),
    "starts a process": ("import subprocess\nsubprocess.run(['/bin/echo', 'fine'])", {"error"}),
    "fills the disk": ("f = open('big', 'wb')\nwhile True: f.write(b'x' * 1000000)", {"error", "killed"}),
    "fills the disk with many files": ("for i in range(10**6): open(f'f{i}', 'w').close()", {"error", "time"}),
    "fills the memory": ("a = []\nwhile True: a.append(bytearray(10**7))", {"memory", "killed"}),
    "sleeps": ("import time\ntime.sleep(60)", {"time"}),
    "sleeps with its output closed": (
        "import os, time\nos.close(1); os.close(2); time.sleep(60)",
        {"time"},
    ),
    "computes for ever": ("while True: pass", {"time"}),
    "opens a socket": (
        "import socket\ntry:\n  socket.create_connection(('127.0.0.1', 22), 1)\nexcept PermissionError: print('fine')",
        {"passed"},
    ),
    "reads the environment": (
        "import os\nprint('fine' if not set(os.environ) - {'LC_CTYPE'} else dict(os.environ))",
        {"passed"},
    ),
    "signals its parent": (
        "import os\nfor s in (9, 15, 19):\n  try: os.kill(os.getppid(), s)\n  except OSError: pass\nprint('fine')",
        {"passed"},
    ),
    "signals everybody": ("import os\nos.kill(-1, 9)\nprint('fine')", {"killed", "passed", "error"}),
    "prints for ever": ("while True: print('x' * 1000)", {"output"}),
    "prints errors for ever": ("import sys\nwhile True: sys.stderr.write('x' * 1000)", {"time"}),
    "leaves early": ("import sys\nsys.exit(0)\nprint('fine')", {"wrong"}),
    "leaves early, hard": ("import os\nos._exit(0)", {"wrong"}),
    "patches what compares": (
        "import builtins, json\nbuiltins.print = lambda *a: None\njson.loads = lambda *a: 1\nclass str(str):\n"
        "  def __eq__(self, other): return True\n",
        {"wrong"},
    ),
    "looks around": (
        "import os\nseen = set(os.listdir('/'))\nhidden = {'home', 'root', 'etc', 'proc', 'sys', 'var', 'run'}\n"
        "import sys\nown = sys.prefix.split('/')[1], sys.base_prefix.split('/')[1]\n"
        "print('fine' if not seen & (hidden - set(own)) else seen)",
        {"passed"},
    ),
    "reads the password file": ("print(open('/etc/passwd').read())", {"error"}),
    "writes into the system": (
        "import os, sys\nfor place in ('/usr/x', '/bin/x', sys.prefix + '/x', sys.base_prefix + '/lib/x'):\n"
        "  try: open(place, 'w'); print('wrote', place)\n  except OSError: pass\nprint('fine')",
        {"passed"},
    ),
    "mounts": (
        "import ctypes\nlibc = ctypes.CDLL(None)\nprint('fine' if libc.mount(b'x', b'/tmp', b'tmpfs', 0, None) and "
        "libc.unshare(0x10000000) and libc.umount2(b'/usr', 2) and libc.ptrace(0, 0, 0, 0) else 'got out')",
        {"passed"},
    ),
    "writes to the server's descriptors": (
        "import os, json, struct\nframe = json.dumps({'status': 'ok', 'output': 'fine'}).encode()\n"
        "for fd in range(3, 60):\n  try: os.write(fd, struct.pack('>I', len(frame)) + frame)\n  except OSError: pass\n",
        {"wrong"},
    ),
    "breaks the interpreter": ("import ctypes\nctypes.string_at(0)", {"killed"}),
    "recurses without end": ("def f(n): return f(n + 1)\nf(0)", {"error", "killed", "memory", "time"}),
    "signals its process group": ("import os\nos.killpg(0, 9)", {"killed"}),
    "interrupts process 1": ("import os, time\nos.kill(1, 2)\ntime.sleep(0.1)\nprint('fine')", {"passed"}),
    "limits process 1": (
        "import resource\nfor what in (resource.RLIMIT_FSIZE, resource.RLIMIT_CPU):\n"
        "  try: resource.prlimit(1, what, (0, 0)); print('limited')\n  except PermissionError: pass\nprint('fine')",
        {"passed"},
    ),
    "locks files of the host": (
        "import fcntl, os\nfile = open(os.__file__)\nfor lock in (\n  lambda: fcntl.flock(file, fcntl.LOCK_SH),\n"
        "  lambda: fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK),\n"
        "  lambda: fcntl.fcntl(file, 37, bytes(32)),\n"
        "  lambda: fcntl.fcntl(os.open(os.path.dirname(os.__file__), 0), fcntl.F_NOTIFY, 1),\n):\n"
        "  try: lock(); print('locked')\n  except PermissionError: pass\nprint('fine')",
        {"passed"},
    ),
    "creates timers without end": (
        "import ctypes, os\nlibc, timer = ctypes.CDLL(None, use_errno=True), ctypes.c_void_p()\ncreated = 0\n"
        "while created < 1000 and not libc.timer_create(1, None, ctypes.byref(timer)): created += 1\n"
        "print('fine' if not created else created)",
        {"passed"},
    ),
    "queues signals without end": (
        "import os, signal, threading\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMIN])\nqueued = 0\ntry:\n"
        "  while queued < 1000: signal.pthread_kill(threading.get_ident(), signal.SIGRTMIN); queued += 1\n"
        "except OSError: pass\nprint('fine' if queued <= 64 else queued)",
        {"passed"},
    ),
    "makes calls that are newer than the list": (
        "import ctypes, errno\nlibc = ctypes.CDLL(None, use_errno=True)\nfor number in (467, 425, 434, 600):\n"
        "  done = libc.syscall(number, -100, b'/tmp', 0, 0, 0)\n"
        "  if done != -1 or ctypes.get_errno() != errno.ENOSYS: print(number, done, ctypes.get_errno())\nprint('fine')",
        {"passed"},
    ),
    "takes memory that is not its own": (
        "import ctypes, os\nlibc = ctypes.CDLL(None)\ntaken = [libc.shmget(0, 4096, 0o1600), libc.msgget(0, 0o1600)]\n"
        "try: taken.append(os.memfd_create('m'))\nexcept OSError: taken.append(-1)\n"
        "print('fine' if set(taken) == {-1} else taken)",
        {"passed"},
    ),
    "never ends its exit handler": ("import atexit\n@atexit.register\ndef f():\n  while True: pass", {"time"}),
    "starts a process at its exit": (
        "import atexit, os\n@atexit.register\ndef f():\n  for start in (os.fork, lambda: os.execv('/bin/sh', ['sh'])):"
        "\n    try: start(); print('started')\n    except OSError: pass\n  print('fine')",
        {"passed"},
    ),
    "is no program": ("this is (not python", {"error"}),
    "holds a NUL": ("print('fine')\0", {"error"}),
}
LONG = ("sleeps", "sleeps with its output closed", "prints errors for ever")
"""These end by wall time, after five seconds."""


@needs_isolation
@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in HOSTILE])
def test_a_hostile_program_ends_in_its_own_state(sandbox, hasty, name):
    code, expected = HOSTILE[name]
    before = set(Path("/tmp").iterdir())
    sandbox = hasty if "time" in expected else sandbox
    outcome = run(sandbox, code)
    assert outcome.status in expected, outcome
    assert {path.name for path in set(Path("/tmp").iterdir()) - before} & {"old", "tmp", "dev", "usr"} == set()
    # The next one is unharmed.
    assert run(sandbox, "print('fine')").status == "passed"


@pytest.mark.slow
@needs_isolation
def test_a_sandbox_that_ends_after_its_last_answer_costs_the_next_program_nothing(monkeypatch):
    left = SandboxServer._left

    def without_process_1(server, outcome):
        [builder] = _children_of(server._process.pid)
        [first] = _children_of(builder)
        os.kill(first, signal.SIGKILL)
        return left(server, outcome)

    # Where process 1 was in the middle of a frame, this passes before there is a fresh server.
    monkeypatch.setattr(pool_module, "_SETUP_SECONDS", 5.0)
    with SandboxPool(workers=1, limits=LIMITS) as alone:
        for _ in range(10):
            with monkeypatch.context() as patched:
                patched.setattr(SandboxServer, "_left", without_process_1)
                run(alone, "print('fine')")
            time.sleep(0.05)
            assert run(alone, "print('fine')").status == "passed"


def _children_of(pid):
    processes = [path for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [int(process.name) for process in processes if process_stat(int(process.name))[1:2] == [str(pid)]]


@needs_isolation
def test_a_server_that_has_ended_costs_the_next_program_nothing():
    with SandboxPool(workers=1, limits=LIMITS) as alone:
        assert run(alone, "print('fine')").status == "passed"
        alone._all[0]._process.kill()
        assert run(alone, "print('fine')").status == "passed"


@pytest.mark.slow
@needs_isolation
def test_no_process_is_left():
    with SandboxPool(workers=2, limits=replace(LIMITS, seconds=2.5, wall_seconds=2.5)) as sandbox:
        run(sandbox, HOSTILE["starts threads without end"][0])
        assert run(sandbox, "import time\ntime.sleep(60)").status == "time"
        ours = [server._process.pid for server in sandbox._all if server._process]
        assert ours
    # The kernel takes a moment to clear a killed process with many threads away.
    deadline = time.monotonic() + 20
    while (left := _left_of(ours)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []


OWNER = """
import sys
from rsft_assets.steps.scores.sandbox.pool import Case, CodeLimits, Program, SandboxPool
program = Program("import time; time.sleep(600)", (Case("", ""),), lambda output, expected: True)
with SandboxPool(workers=1, limits=CodeLimits(seconds=600.0)) as sandbox:
    server = sandbox._all[0]
    waits = server._answer
    def opened(seconds):
        answer = waits(seconds)
        print(server._process.pid, flush=True)
        return answer
    server._answer = opened
    list(sandbox.run([program]))
"""


@pytest.mark.slow
@needs_isolation
def test_no_process_is_left_of_an_owner_that_is_killed():
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True)
    session = int(owner.stdout.readline())
    assert _left_of([session])
    owner.kill()
    owner.wait()
    deadline = time.monotonic() + 20
    while (left := _left_of([session])) and time.monotonic() < deadline:
        time.sleep(0.1)
    for process in left:
        os.kill(int(process.name), signal.SIGKILL)
    assert left == []


def _left_of(sessions):
    processes = [path for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [process for process in processes if _started_by(process, sessions)]


def _started_by(process, sessions):
    """Whether a process belongs to a server's session: the sixth number of its stat."""
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[3]) in sessions
    except OSError:
        return False


@needs_isolation
def test_scratch_files_work_and_are_gone_for_the_next_program(sandbox):
    write = "open('note', 'w').write('x')\nprint(open('note').read())"
    assert run(sandbox, write, ("", "x")).status == "passed"
    assert run(sandbox, "import os\nprint(os.path.exists('note'))", ("", "False")).status == "passed"
    assert not Path("note").exists()


@needs_isolation
def test_what_one_test_leaves_behind_does_not_stop_the_next(sandbox):
    code = (
        "import os\nfor name in os.listdir('/'):\n  try: os.rename('/' + name, '/x' + name)\n  except OSError: pass\n"
        "try: open('big', 'wb').write(b'x' * 10**9)\nexcept (OSError, MemoryError): pass\nprint('fine')"
    )
    assert run(sandbox, code, ("", "fine"), ("1", "fine")).status == "passed"


@needs_isolation
def test_an_answer_too_deep_to_read_is_wrong_and_the_next_program_is_unharmed(sandbox):
    deep = "import os\ndef f(n):\n    os.write(3, b'[' * 200_000)\n    os._exit(0)"
    assert run(sandbox, deep, ("1", "1"), entry="f").status == "wrong"

    def broken(output, expected):
        raise RuntimeError("no comparison")

    with SandboxPool(workers=1, limits=LIMITS) as alone:
        with pytest.raises(RuntimeError, match="no comparison"):
            list(alone.run([Program("print(1)", (Case("", "1"),), broken)]))
        assert run(alone, "print('fine')").status == "passed"


@needs_isolation
def test_a_sandbox_that_cannot_be_opened_costs_one_program_only(sandbox, monkeypatch):
    asked = SandboxServer._ask
    refusals = iter([{"status": "no-isolation", "stderr": "no more name spaces"}])

    def refused_once(server, value, seconds):
        refusal = next(refusals, None)
        return {**refusal, "number": value["number"]} if refusal else asked(server, value, seconds)

    monkeypatch.setattr(SandboxServer, "_ask", refused_once)
    item = Item("i", "Say 4.", None, "easy", {"public_test_cases": '[{"input": "2", "output": "4"}]'})
    samples = [Sample(item, n, "```python\nprint(4)\n```") for n in range(2)]
    with Tools(Placement(workers=1)) as tools:
        tools.sandbox = sandbox
        grades = [grade for [grade] in TASK.grade(iter(samples), "strict", benchmark("c"), tools)]
    assert sorted((grade.state, grade.reason) for grade in grades) == [
        ("not-run", "no isolation: no more name spaces"),
        ("scored", "passed"),
    ]


@needs_isolation
def test_the_first_failure_ends_it(sandbox):
    code = "n = int(input())\nprint(n if n < 3 else 0)"
    outcome = run(sandbox, code, *((str(n), str(n)) for n in range(1, 9)))
    assert (outcome.status, outcome.tests_passed) == ("wrong", 2)


@needs_isolation
@pytest.mark.parametrize(
    ("code", "entry", "given", "expected", "status"),
    [
        ("def f(a, b):\n    return a + b", "f", "[1]\n[2]", "[1, 2]", "passed"),
        ("class Solution:\n    def f(self, s: List[int]) -> int:\n        return max(s)", "f", "[1, 5]", "5", "passed"),
        ("def f(n):\n    print('noise')\n    return (n, n)", "f", "3", "[3, 3]", "passed"),
        ("def f(n):\n    return n", "f", '"3"', "3", "wrong"),
        ("def g(n):\n    return n", "f", "3", "3", "passed"),
        ("x = 1", "f", "3", "3", "error"),
        ("import sys\nsys.exit(0)", "f", "3", "3", "wrong"),
    ],
)
def test_function_problems(sandbox, code, entry, given, expected, status):
    assert run(sandbox, code, (given, expected), entry=entry).status == status


@needs_isolation
def test_programs_run_in_parallel_and_come_back_in_order(sandbox):
    programs = [
        Program(f"import time\ntime.sleep(0.2)\nprint({n})", (Case("", str(n)),), same_output) for n in range(6)
    ]
    assert [outcome.status for outcome in sandbox.run(programs)] == ["passed"] * 6


@needs_isolation
def test_known_good_functions_pass():
    """Published solutions of function problems, their asserts turned into calls with JSON arguments."""
    good = _leetcode_rows()
    programs = [program for row in good if (program := _function_problem(row))]
    assert len(programs) == len(good) > 100
    with SandboxPool(workers=2) as sandbox:
        outcomes = list(sandbox.run(programs))
    assert [outcome for outcome in outcomes if outcome.status != "passed"] == []


@needs_isolation
@pytest.mark.parametrize("every", [10, pytest.param(1, marks=pytest.mark.slow)])
def test_known_good_programs_pass(every):
    # Task 367 was published without the tree that its asserts look at.
    good = [row for row in rows("code/mbpp_test.jsonl") if row["task_id"] != 367]
    assert len(good) == 499
    good = good[::every]
    programs = [
        Program("\n".join([row["code"], *row["test"], "print('held')"]), (Case("", "held"),), same_output)
        for row in good
    ]
    with SandboxPool(workers=2, limits=LIMITS) as sandbox:
        outcomes = list(sandbox.run(programs))
    failed = [
        (row["task_id"], outcome) for row, outcome in zip(good, outcomes, strict=True) if outcome.status != "passed"
    ]
    assert failed == []


def _leetcode_rows():
    path = folder() / "code" / "leetcode_functional.json"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    return json.loads(path.read_text())


def _function_problem(row):
    """None where an assert is more than a call compared with a literal."""
    cases = []
    for node in ast.walk(ast.parse(row["tests"]["functional"])):
        if not isinstance(node, ast.Assert):
            continue
        try:
            arguments = [ast.literal_eval(keyword.value) for keyword in node.test.left.keywords]
            expected = ast.literal_eval(node.test.comparators[0])
            cases.append(Case("\n".join(map(json.dumps, arguments)), json.dumps(expected)))
        except (AttributeError, ValueError, TypeError):
            return None
    entry = re.search(r"check\(Solution\(\)\.(\w+)\)", row["tests"]["functional"])
    return Program(row["solutions"], tuple(cases), same_value, entry[1]) if entry and cases else None


def test_without_isolation_nothing_is_run(monkeypatch):
    monkeypatch.setattr(pool_module, "supported", lambda: "not on this machine")
    assert TASK.unavailable() == "not on this machine"


@needs_isolation
def test_grading_keeps_the_order_of_answers_with_and_without_code():
    item = Item("i", "Double it.", None, "easy", {"public_test_cases": '[{"input": "2", "output": "4"}]'})
    fence = "```python\nprint(2 * int(input()))\n```"
    texts = [fence, "none", fence.replace("2 *", "3 *"), f"<think>{fence}</think>nothing", f"<think>{fence}"]
    samples = [Sample(item, n, text) for n, text in enumerate(texts)]
    with Tools(Placement(workers=1)) as tools:
        for grader, reasons in {
            "strict": ["passed", "no-code", "wrong", "no-code", "no-code"],
            "authors": ["passed", "no-code", "wrong", "passed", "passed"],
        }.items():
            grades = [grade.reason for [grade] in TASK.grade(iter(samples), grader, benchmark("c"), tools)]
            assert grades == reasons


@pytest.mark.parametrize(
    ("output", "expected", "same"),
    [
        ("1 2\n3", "1 2\n3\n", True),
        ("1 2 \n3\n\n", "1 2\n3", True),
        ("1.0 2", "1 2.00", True),
        ("1e3", "1000", True),
        ("a b", "a  b", False),
        ("1", "1\n2", False),
        ("", "", True),
        ("nan", "nan", True),
        ("x", "1", False),
    ],
)
def test_same_output(output, expected, same):
    assert same_output(output, expected) is same


def test_tests_that_unpack_to_no_end_are_refused(monkeypatch):
    monkeypatch.setattr("rsft_assets.steps.scores.kinds.livecodebench._MOST_TEST_BYTES", 1_000)
    cases = [{"input": "1" * 2_000, "output": "2", "testtype": "stdin"}]
    packed = base64.b64encode(zlib.compress(pickle.dumps(json.dumps(cases)))).decode()
    with pytest.raises(StepError, match=r"item i: its private_test_cases cannot be read .*cut short, or more than"):
        cases_of(Item("i", "q", None, None, {"private_test_cases": packed}))


def test_tests_are_read_as_published_and_a_pickle_runs_nothing():
    cases = [{"input": "1", "output": "2", "testtype": "stdin"}]
    packed = base64.b64encode(zlib.compress(pickle.dumps(json.dumps(cases)))).decode()
    assert decoded(packed) == decoded(json.dumps(cases)) == cases

    class Evil:
        def __reduce__(self):
            return os.system, ("touch /tmp/pickled",)

    with pytest.raises(pickle.UnpicklingError):
        decoded(base64.b64encode(zlib.compress(pickle.dumps(Evil()))).decode())


def test_private_tests_come_first_and_the_entry_is_found():
    fields = {
        "private_test_cases": '[{"input": "p", "output": "q"}]',
        "public_test_cases": '[{"input": "a", "output": "b"}]',
        "starter_code": "class Solution:\n    def solve(self, n: int) -> int:\n        ",
        "metadata": "{}",
    }
    item = Item("i", "Solve.", None, None, fields)
    assert cases_of(item) == (Case("p", "q"),)
    assert entry_of(item) == "solve"
    assert "without invoking it" in prompt(item, benchmark("c"))
    assert "writes output to STDOUT" in prompt(Item("i", "Solve.", None, None, {}), benchmark("c"))


def test_the_last_block_counts():
    assert code_in("```python\na\n```\n```python\nb\n```", "strict") == "b\n"
    assert code_in("```\na\n```", "strict") is None
