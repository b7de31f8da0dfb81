"""Started processes end when asked, together, with all that they started, and with whoever started them."""

import logging
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import rsft_assets
from rsft_assets.steps.processes.child import Child, end, spawn_context
from rsft_assets.steps.processes.parent_death import PARENT_SETTING, is_alive, start_ticks

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
PARENT = "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE); "
TELLS = "print(child.pid, flush=True); "


def started(code):
    """A child that has said its first line, and that line."""
    child = Child([sys.executable, "-c", code], stdout=subprocess.PIPE)
    return child, child.stdout.readline().decode().strip()


def ends(pid):
    """Whether a process is over within twenty seconds."""
    until = time.monotonic() + 20
    while is_alive(pid) and time.monotonic() < until:
        time.sleep(0.05)
    return not is_alive(pid)


def test_one_that_does_not_listen_is_killed_and_named(caplog):
    caplog.set_level(logging.INFO)
    child, _ = started(DEAF)
    end([child], seconds=0.2)
    assert child.returncode == -signal.SIGKILL
    assert f"killing process {child.pid}, left by process {child.pid}: {sys.executable} -c import signal" in caplog.text


def test_one_that_ends_when_asked_is_not_killed(caplog):
    caplog.set_level(logging.INFO)
    child, _ = started("import time; print(1, flush=True); time.sleep(600)")
    end([child], seconds=60.0)
    assert child.returncode == -signal.SIGTERM
    assert not caplog.text


def test_what_a_leader_left_ends_with_its_group(caplog):
    caplog.set_level(logging.INFO)
    # One that waits for input would end by itself when its pipe is closed.
    waits = PARENT.replace("input()", "import time; time.sleep(600)")
    child, left = started(f"{waits}{TELLS}import os; os._exit(0)")
    child.wait()
    assert is_alive(int(left))
    end([child], seconds=60.0)
    assert ends(int(left))
    assert f"killing process {left}, left by process {child.pid}" in caplog.text


def test_only_the_leader_is_asked():
    saves = "import os, signal, time\ndef save(*_):\n    time.sleep(0.3); child.communicate(b'1')\n"
    saves += "    os._exit(50 + child.returncode)\n"
    child, worker = started(f"{PARENT}{saves}signal.signal(signal.SIGTERM, save); {TELLS} time.sleep(600)")
    end([child], seconds=60.0)
    assert child.returncode == 50, "its worker ended well, by its own word"
    assert not is_alive(int(worker))


def test_one_that_waits_for_another_that_has_left_is_killed():
    waiting, _ = started(DEAF)
    left, _ = started("print(1)")
    left.wait()
    end([waiting, left], seconds=0.2, after_first=True)
    assert (waiting.returncode, left.returncode) == (-signal.SIGKILL, 0)


def test_the_time_to_end_begins_when_the_first_has_ended():
    slow = "import os, signal, time\ndef save(*_):\n    time.sleep(1); os._exit(7)\n"
    slow += "signal.signal(signal.SIGTERM, save); print(1, flush=True); time.sleep(600)"
    child, _ = started(slow)
    end([child], seconds=0.0, after_first=True)
    assert child.returncode == 7


def test_multiprocessings_processes_end_alike():
    process = spawn_context().Process(target=time.sleep, args=(600,))
    process.start()
    end([process], seconds=60.0)
    assert process.exitcode == -signal.SIGTERM


ENDS = "from rsft_assets.steps.processes.parent_death import *; import time; "
ENDS_WITH_PARENT = ENDS + "end_with_parent(int(os.environ[PARENT_SETTING])); print(os.getpid(), flush=True); "


@pytest.mark.parametrize("system", ["linux", "another"])
def test_a_child_ends_with_its_killed_parent(system):
    body = f"import sys; sys.platform = {system!r}; {ENDS_WITH_PARENT} time.sleep(600)"
    program = "import sys, time; from rsft_assets.steps.processes.child import Child; "
    program += f"Child([sys.executable, '-c', {body!r}]); time.sleep(600)"
    parent, pid = started(program)
    assert is_alive(int(pid))
    parent.kill()
    parent.wait()
    assert ends(int(pid))


def test_a_child_whose_parent_has_ended_already_ends_at_once():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    # Not waited for: a process that is over counts as ended before anybody has asked for its exit status.
    os.waitid(os.P_PID, gone.pid, os.WEXITED | os.WNOWAIT)
    code = f"{ENDS} end_with_parent({gone.pid}); print('went on')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    gone.wait()
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "")


def test_a_child_of_a_child_goes_on_while_the_ancestor_lives():
    environment = {**os.environ, PARENT_SETTING: str(os.getpid())}
    inner = f"import subprocess, sys; print(subprocess.run([sys.executable, '-c', {ENDS_WITH_PARENT!r}]).returncode)"
    done = subprocess.run([sys.executable, "-c", inner], env=environment, capture_output=True, text=True)
    assert done.stdout.split()[-1] == "0"


def test_a_spawned_process_ends_with_its_killed_parent(tmp_path):
    script = tmp_path / "spawns.py"
    script.write_text(
        "import os, time\n"
        "from rsft_assets.steps.processes.child import spawn_context\n"
        "def work():\n    print(os.getpid(), flush=True); time.sleep(600)\n"
        "if __name__ == '__main__':\n"
        "    process = spawn_context().Process(target=work); process.start(); process.join()\n"
    )
    parent = Child([sys.executable, str(script)], stdout=subprocess.PIPE)
    pid = int(parent.stdout.readline())
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    assert ends(pid)


def test_a_process_that_is_over_has_no_start():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert start_ticks(process.pid).isdigit() and is_alive(process.pid)
    process.stdin.close()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert start_ticks(process.pid) == "" and not is_alive(process.pid)
    process.wait()
    assert start_ticks(process.pid) == "" and not is_alive(process.pid)


PROCESS_CALLS = re.compile(
    r"\b(?:Popen|os\.(?:kill|killpg|fork|getppid|posix_spawn)|prctl|PDEATHSIG|start_new_session"
    r"|multiprocessing\.(?:Process|Pool)|get_context|set_start_method)\b"
)
ELSEWHERE = {
    "steps/scores/sandbox/isolation.py": {"prctl"},  # gives up privileges and sets the filter of system calls
    "steps/scores/sandbox/seccomp.py": {"prctl"},  # the name of a system call
    "steps/scores/sandbox/server.py": {"os.fork", "os.kill", "os.getppid"},  # inside a process space of its own
    "steps/verdicts/verifier/fork_server.py": {"os.fork", "os.kill"},  # forks what it has imported; see there
}


def test_processes_are_started_and_ended_in_one_room():
    package = Path(rsft_assets.__file__).parent
    files = [path for path in package.rglob("*.py") if package / "steps" / "processes" not in path.parents]
    found = {str(path.relative_to(package)): set(PROCESS_CALLS.findall(path.read_text())) for path in files}
    assert len(files) > 230, "the walk must see the package"
    assert {path: calls for path, calls in found.items() if calls} == ELSEWHERE
    room = {
        call
        for path in (package / "steps" / "processes").glob("*.py")
        for call in PROCESS_CALLS.findall(path.read_text())
    }
    assert {"Popen", "os.kill", "os.killpg", "prctl", "get_context", "os.getppid"} <= room
