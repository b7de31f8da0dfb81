"""A run whose process was killed is ended, and its pool's slot freed, by whoever opens the instance next; whose process
lives is left alone."""

import os
import signal
import socket
import subprocess
import sys

import dagster as dg

from rsft_assets.defs import dead_runs
from rsft_assets.defs.instance import open_instance
from rsft_assets.steps.records.store import Store

RUN = """
import sys, time
import dagster as dg
from rsft_assets.defs.dead_runs import PROCESS_TAG, mark, wait_for_slots
from rsft_assets.defs.instance import open_instance
from rsft_assets.steps.records.store import Store
from pathlib import Path

@dg.asset(pool="gpu")
def slow(context: dg.AssetExecutionContext):
    if sys.argv[3] == "marked":
        mark(context)
    print("at work", flush=True)
    time.sleep(float(sys.argv[2]))

with open_instance(Store(Path(sys.argv[1]))) as instance:
    wait_for_slots(instance, ["gpu"])
    tags = {PROCESS_TAG: sys.argv[3]} if ":" in sys.argv[3] else {}
    dg.materialize([slow], instance=instance, tags=tags)
"""


def start(home, seconds, how="marked"):
    environment = {key: value for key, value in os.environ.items() if key != "DAGSTER_HOME"}
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(home), str(seconds), how],
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


def test_a_run_outlives_the_process_of_a_step_of_it(tmp_path, monkeypatch):
    # So it stands between two steps that have processes of their own, and where the UI repeats a run with its tags.
    working = start(tmp_path, 600, how=f"{socket.gethostname()}:{2**22 + 1}:1")
    assert statuses(tmp_path, monkeypatch) == [dg.DagsterRunStatus.STARTED]
    working.send_signal(signal.SIGKILL)
    working.communicate()
    assert statuses(tmp_path, monkeypatch) == [dg.DagsterRunStatus.FAILURE]


def test_a_run_killed_before_its_op_said_its_name_frees_its_slot(tmp_path, monkeypatch):
    killed = start(tmp_path, 600, how="nameless")
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert statuses(tmp_path, monkeypatch) == [dg.DagsterRunStatus.STARTED], "it may have begun this moment"
    monkeypatch.setattr(dead_runs, "_SILENT_SECONDS", 0.0)
    assert statuses(tmp_path, monkeypatch) == [dg.DagsterRunStatus.FAILURE]
    with open_instance(Store(tmp_path)) as instance:
        assert not instance.event_log_storage.get_concurrency_info("gpu").claimed_slots


def test_a_run_that_is_over_keeps_no_slot(tmp_path, monkeypatch):
    start(tmp_path, 0).communicate(timeout=60)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with open_instance(Store(tmp_path)) as instance:
        [run] = instance.get_runs()
        instance.event_log_storage.claim_concurrency_slot("gpu", run.run_id, "slow")
        assert dead_runs.end_dead_runs(instance) == [run.run_id]
        assert not instance.event_log_storage.get_concurrency_info("gpu").claimed_slots
        assert dead_runs.end_dead_runs(instance) == []


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
