"""A run whose process was killed is ended, and its pool's slot freed, by whoever opens the instance next."""

import os
import signal
import subprocess
import sys

import dagster as dg

from rsft_assets.defs.instance import open_instance
from rsft_assets.steps.records.store import Store

RUN = """
import sys, time
import dagster as dg
from rsft_assets.defs.dead_runs import mark, wait_for_slots
from rsft_assets.defs.instance import open_instance
from rsft_assets.steps.records.store import Store
from pathlib import Path

@dg.asset(pool="gpu")
def slow(context: dg.AssetExecutionContext):
    mark(context)
    print("at work", flush=True)
    time.sleep(float(sys.argv[2]))

with open_instance(Store(Path(sys.argv[1]))) as instance:
    wait_for_slots(instance, ["gpu"])
    dg.materialize([slow], instance=instance)
"""


def start(home, seconds):
    environment = {key: value for key, value in os.environ.items() if key != "DAGSTER_HOME"}
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(home), str(seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    assert process.stdout.readline() == "at work\n"
    return process


def statuses(home, monkeypatch):
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with open_instance(Store(home)) as instance:
        return [run.status for run in instance.get_runs()]


def test_a_killed_run_frees_its_slot(tmp_path, monkeypatch):
    killed = start(tmp_path, 600)
    assert statuses(tmp_path, monkeypatch) == [dg.DagsterRunStatus.STARTED], "a living run is left alone"
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    after = start(tmp_path, 0)
    after.communicate(timeout=60)
    assert statuses(tmp_path, monkeypatch) == [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]


def test_the_next_run_waits_for_a_living_one_and_says_for_whom(tmp_path, monkeypatch):
    from rsft_assets.defs.dead_runs import wait_for_slots
    from rsft_assets.defs.watching import watching

    working = start(tmp_path, 6)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    said = []
    with open_instance(Store(tmp_path)) as instance, watching(lambda event: said.append(event["words"])):
        wait_for_slots(instance, ["gpu"])
    working.communicate(timeout=60)
    assert len(said) == 1 and f":{working.pid}:" in said[0]
