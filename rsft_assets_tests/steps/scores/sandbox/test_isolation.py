"""The layers of the isolation, each by what it refuses, and what a correct program may still do."""

import fcntl
import os
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rsft_assets.steps.scores.sandbox import isolation, pool
from rsft_assets.steps.scores.sandbox.pool import Case, Program, SandboxPool, SandboxServer
from rsft_assets_tests.steps.scores.grading.test_code import LIMITS, needs_isolation, run

THREADS = (
    "import threading, time\nthreading.stack_size(65536)\nstarted = 0\ntry:\n  while started < 858:\n"
    "    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n    started += 1\n"
    "except RuntimeError: pass\nprint(started)"
)
OUTSIDE = "for place in ('/x', '/dev/x'):\n  try: open(place, 'w'); print(place)\n  except OSError: pass\nprint('fine')"


@pytest.fixture(scope="module")
def sandbox():
    with SandboxPool(workers=1) as sandbox:
        yield sandbox


def without():
    """The layers that this machine lacks."""
    server = SandboxServer(LIMITS)
    try:
        job = {"code": "", "kind": "stdin", "entry": None, "limits": {"scratch_bytes": 1 << 20}}
        return server._open(job)["without"]
    finally:
        server.end()


@needs_isolation
def test_threads_are_limited(sandbox):
    if "a limit on threads" in without():
        pytest.skip("root without CAP_SETUID")
    counts = []
    [outcome] = sandbox.run([Program(THREADS, (Case("", ""),), lambda output, _: not counts.append(int(output)))])
    assert outcome.status == "passed"
    assert 64 <= counts[0] < 128


@needs_isolation
def test_landlock_refuses_files_outside_the_scratch_folder(sandbox):
    if "Landlock" in without():
        pytest.skip("no Landlock in this kernel")
    assert run(sandbox, OUTSIDE).status == "passed"


@needs_isolation
def test_no_lock_reaches_a_file_of_the_host(sandbox):
    """A record lock is answered as taken, since the only process inside can have no other in its way."""
    code = (
        "import fcntl, os, time\nfile = open(os.__file__)\nfcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)\n"
        "time.sleep(1)\nprint('fine')"
    )
    outcomes, seen = [], set()
    program = threading.Thread(target=lambda: outcomes.append(run(sandbox, code)))
    program.start()
    with Path(os.__file__).open("rb") as file:
        asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0)
        while program.is_alive():
            seen.add(struct.unpack_from("h", fcntl.fcntl(file, fcntl.F_GETLK, asked))[0])
            program.join(0.05)
    assert (outcomes[0].status, seen) == ("passed", {fcntl.F_UNLCK})


CORRECT = {
    "sqlite": "import sqlite3\nfor name in (':memory:', 'x.db'):\n  with sqlite3.connect(name) as base:\n"
    "    base.execute('create table t(a)')\n    base.execute('insert into t values (1)')\n"
    "  assert base.execute('select a from t').fetchall() == [(1,)]",
    "tempfile and shutil": "import os, shutil, tempfile\nwith tempfile.TemporaryDirectory() as d:\n"
    "  with tempfile.NamedTemporaryFile('w', dir=d) as f:\n    f.write('x'); f.flush()\n"
    "    shutil.copy2(f.name, d + '/b'); os.mkdir(d + '/c'); shutil.move(d + '/b', d + '/c/b')\n"
    "  assert open(d + '/c/b').read() == 'x'; os.rename(d + '/c/b', d + '/b')\n"
    "open('a', 'w').close(); assert os.access('a', os.W_OK) and os.access('.', os.W_OK)",
    "archives": "import gzip, lzma, tarfile, zipfile\nopen('a', 'w').write('x')\n"
    "with zipfile.ZipFile('a.zip', 'w') as z: z.write('a')\nwith tarfile.open('a.tgz', 'w:gz') as t: t.add('a')\n"
    "zipfile.ZipFile('a.zip').extractall('z'); tarfile.open('a.tgz').extractall('t')\n"
    "assert open('z/a').read() == open('t/a').read() == 'x'",
    "mmap": "import mmap\nopen('m', 'wb').write(b'x' * 8192)\nwith open('m', 'r+b') as f:\n"
    "  m = mmap.mmap(f.fileno(), 0); m[0:1] = b'y'; m.flush(); m.resize(16384)\nassert m[:2] == b'yx'",
    "signals": "import os, signal, time\nseen = []\nsignal.signal(signal.SIGALRM, lambda *_: seen.append(1))\n"
    "signal.setitimer(signal.ITIMER_REAL, 0.05); signal.pause(); signal.raise_signal(signal.SIGALRM)\n"
    "os.kill(os.getpid(), signal.SIGALRM); time.sleep(0)\nassert len(seen) == 3",
    "polling": "import os, select, selectors\nr, w = os.pipe(); os.write(w, b'x')\n"
    "with selectors.DefaultSelector() as s:\n  s.register(r, selectors.EVENT_READ); assert s.select(1)\n"
    "assert select.select([r], [], [], 1)[0] == [r]",
    "a large stack": "import resource, sys, threading\nresource.setrlimit(resource.RLIMIT_STACK, (1 << 20, 1 << 20))\n"
    "threading.stack_size(64 << 20)\ndef f(n): return 0 if n == 0 else 1 + f(n - 1)\nout = []\n"
    "t = threading.Thread(target=lambda: out.append(f(50_000))); t.start(); t.join()\nassert out == [50_000]",
    "pools of threads": "from concurrent.futures import ThreadPoolExecutor\nimport queue, threading\n"
    "with ThreadPoolExecutor(32) as p: assert list(p.map(abs, range(-99, 0))) == list(range(99, 0, -1))\n"
    "threading.Barrier(1).wait(); assert not threading.Event().wait(0.01)",
    "threads at the same time": "import threading\nall_here = threading.Barrier(33)\n"
    "def wait():\n  held = bytearray(100_000)\n  all_here.wait()\n"
    "for _ in range(32): threading.Thread(target=wait).start()\nall_here.wait()",
    "numpy on 64 processors": "import os\nos.environ['OPENBLAS_NUM_THREADS'] = '64'\nimport numpy as np\n"
    "a = np.ones((300, 300)); assert (a @ a)[0, 0] == 300\nnp.save('a.npy', a); assert np.load('a.npy').sum() == 9e4",
    "ctypes": "import ctypes\nadd = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(lambda n: n + 1)\nassert add(2) == 3",
    "randomness and time": "import hashlib, random, secrets, time, uuid\nrandom.SystemRandom().random(); uuid.uuid4()\n"
    "secrets.token_hex(); hashlib.sha256(b''); time.sleep(0.01); time.localtime(); time.thread_time()",
    "standard input as a file": "import mmap, os\nassert os.read(0, os.fstat(0).st_size) == b'abc'\n"
    "assert mmap.mmap(0, 0, access=mmap.ACCESS_READ)[:] == b'abc' and os.lseek(0, 0, 0) == 0",
    "the system's files": "import os\nopen('/dev/null', 'w').write('x'); assert open('/dev/zero', 'rb').read(1)\n"
    "assert os.listdir('/usr') and os.cpu_count() and os.sched_getaffinity(0) and os.uname() and os.times()",
}


@needs_isolation
@pytest.mark.parametrize("name", CORRECT)
def test_a_correct_program_runs_as_outside(sandbox, name):
    outcome = run(sandbox, CORRECT[name] + "\nprint('fine')", ("abc", "fine"))
    assert outcome.status == "passed", outcome


def test_a_kernel_without_landlock_is_told_from_one_with_it(monkeypatch):
    class Kernel:
        def __init__(self, version):
            self.version, self.calls = version, []

        def syscall(self, number, *arguments):
            self.calls.append(number)
            return self.version if len(self.calls) == 1 else 0

    for version, calls in ((-1, [444]), (1, [444])):
        kernel = Kernel(version)
        monkeypatch.setattr(isolation, "_libc", lambda kernel=kernel: kernel)
        assert isolation.restrict_files() is False
        assert kernel.calls == calls


@needs_isolation
@pytest.mark.skipif(os.getuid() != 0, reason="only root's threads need another real user")
def test_root_that_cannot_change_its_user_says_so():
    code = (
        f"import os, sys\nsys.path.insert(0, {str(Path(isolation.__file__).parent)!r})\nimport isolation\n"
        "def refuse(*ids): raise PermissionError\nos.setresuid = refuse if 'refused' in sys.argv else os.setresuid\n"
        "print(isolation.enter_namespaces(), os.getuid())"
    )
    for argument, said in (("refused", "False 0"), ("", "True 65534")):
        done = subprocess.run([sys.executable, "-c", code, argument], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == said


@needs_isolation
def test_a_missing_layer_is_said_once(sandbox, monkeypatch, caplog):
    opened = SandboxServer._open
    monkeypatch.setattr(SandboxServer, "_open", lambda server, job: {**opened(server, job), "without": ["Landlock"]})
    pool._tell_what_is_missing.cache_clear()
    for _ in range(2):
        assert run(sandbox, "print('fine')").status == "passed"
    assert [record.getMessage() for record in caplog.records] == [
        "programs are isolated, but on this machine without Landlock"
    ]
