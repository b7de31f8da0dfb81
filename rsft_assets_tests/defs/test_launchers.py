"""The launcher: a process group of its own, events as they come, a clean end, words for a failure."""

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import get_args, get_type_hints

import dagster as dg
import pytest

from rsft_assets.defs.figures import figure_assets
from rsft_assets.defs.launchers import LAUNCHERS, LocalLauncher, StepCall, StepFailed
from rsft_assets.defs.report import report_asset
from rsft_assets.defs.results import results_assets
from rsft_assets.defs.watching import progress_line
from rsft_assets.runs.running import failure_of
from rsft_assets.specs.placement import Placement
from rsft_assets.specs.study import load_study
from rsft_assets.steps.processes.hardware import Capabilities


@pytest.fixture
def step(tmp_path, monkeypatch):
    """A launcher call of a module that holds the given program."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))

    def of(body, *arguments):
        (tmp_path / "a_step.py").write_text(textwrap.dedent(body))
        return StepCall("a_step", arguments, tmp_path / "home", "a_step")

    return of


def test_every_launcher_that_a_placement_may_name_exists():
    assert set(LAUNCHERS) == set(get_args(get_type_hints(Placement)["launcher"]))


def alive(pid):
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z"


def wait_until(true, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
    return true()


SPAWNS = """
    import subprocess, sys, time
    from rsft_assets.steps.processes.events import send
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    send({"event": "started", "pid": child.pid})
    time.sleep(600)
"""


def test_events_arrive_in_order_and_whole(step):
    call = step("""
        from rsft_assets.steps.processes.events import Progress
        progress = Progress("rows", 200, "rows")
        for i in range(200):
            progress.step(1, "é" * 3_000)
    """)
    events = list(LocalLauncher().run(call))
    assert events[-1]["done"] == 200
    assert not list(call.home.glob("logs/*.events"))


def test_work_of_unknown_size_is_not_said_at_every_step_nor_with_time_left(step):
    call = step("""
        import time
        from rsft_assets.steps.processes.events import Progress
        progress = Progress("rows", 0, "rows")
        for i in range(200):
            progress.step()
        time.sleep(1.1)
        progress.step()
    """)
    events = [event for event in LocalLauncher().run(call) if event["event"] == "progress"]
    assert len(events) < 10
    assert progress_line(events[-1]).startswith("rows: 201 rows, ") and "left" not in progress_line(events[-1])


def test_a_failure_says_command_log_and_last_lines(step):
    call = step("print('one'); print('the reason'); raise SystemExit(3)", "some|partition")
    with pytest.raises(StepFailed) as caught:
        list(LocalLauncher().run(call))
    words = str(caught.value)
    assert caught.value.status == 3
    for part in ("python -m a_step 'some|partition'", "a_step-", "the reason", str(call.home)):
        assert part in words


def test_stopping_early_ends_the_whole_group(step):
    events = LocalLauncher().run(step(SPAWNS))
    pid = next(event["pid"] for event in events if event["event"] == "started")
    events.close()
    assert wait_until(lambda: not alive(pid))


@pytest.mark.slow
@pytest.mark.parametrize(("grace", "needed", "takes"), [(30.0, 0.0, 0.0), (0.1, 10.0, 2.0)])
def test_a_step_is_given_time_to_save_when_stopped(step, tmp_path, grace, needed, takes):
    call = step(f"""
        import signal, sys, time
        from rsft_assets.steps.processes.events import say_note
        def save(*_):
            time.sleep({takes})
            open({str(tmp_path / "saved")!r}, "w").write("saved")
            sys.exit(75)
        signal.signal(signal.SIGTERM, save)
        say_note("saving takes long", stop_seconds={needed})
        time.sleep(600)
    """)
    events = LocalLauncher(grace=grace).run(call)
    next(events)
    events.close()
    assert (tmp_path / "saved").read_text() == "saved"


STARTED = """
    import argparse, os, time
    from rsft_assets.steps.processes.events import send
    from rsft_assets.steps.processes.program import run_step
    def main(arguments):
        send({"event": "started", "pid": os.getpid()})
        time.sleep(600)
    run_step(main, argparse.ArgumentParser())
"""
STARTING = """
    import argparse, os, time
    from rsft_assets.steps.processes.events import send
    from rsft_assets.steps.processes.program import run_step
    launcher = os.getppid()
    send({"event": "imports", "pid": os.getpid()})
    while os.getppid() == launcher:
        time.sleep(0.01)
    run_step(lambda _: time.sleep(600), argparse.ArgumentParser())
"""


@pytest.mark.parametrize("body", [STARTED, STARTING])
def test_a_step_ends_when_its_launcher_is_killed(step, tmp_path, body):
    call = step(body)
    code = f"""
from pathlib import Path
from rsft_assets.defs.launchers import LocalLauncher, StepCall
for event in LocalLauncher().run(StepCall("a_step", (), Path({str(call.home)!r}), "a_step")):
    print(event["pid"], flush=True)
"""
    launcher = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pid = int(launcher.stdout.readline())
    launcher.kill()
    launcher.communicate()
    assert wait_until(lambda: not alive(pid))


class FailingLauncher:
    """A program that says why it failed, and nothing else."""

    def capabilities(self, home):
        return Capabilities(cores=1, memory=1)

    def run(self, call):
        log = call.home / "step.log"
        log.write_text("the last line")
        raise StepFailed(call, 1, log, "it broke")


@pytest.mark.parametrize(
    ("assets", "key"),
    [(results_assets(load_study()), "marts/data_yield"), (figure_assets(), "data_yield"), (report_asset(), "report")],
)
def test_a_program_that_fails_says_why_in_its_run(tmp_path, monkeypatch, assets, key):
    monkeypatch.setenv("RSFT_HOME", str(tmp_path))
    monkeypatch.setitem(LAUNCHERS, "local", lambda _: FailingLauncher())
    (selected,) = [asset for asset in assets.keys if asset.to_user_string().endswith(key)]
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([assets], selection=[selected], instance=instance, raise_on_error=False)
    assert not result.success
    assert "it broke" in failure_of(result) and "the last line" in failure_of(result)
