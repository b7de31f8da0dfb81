"""A run whose process was killed is ended, and its pool's slot freed, by whoever opens the instance next; whose process
lives is left alone."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import dagster as dg
import pytest

from rsft_assets.defs import process_mark
from rsft_assets.defs.process_mark import PROCESS_TAG, process_tag
from rsft_assets.runs import dead_runs
from rsft_assets.runs import running as running_batches
from rsft_assets.runs.instance import open_instance
from rsft_assets.specs.errors import StepError
from rsft_assets.steps.questions.planning.batches import Batch
from rsft_assets.steps.records.store import Store

RUN = """
import os, sys, time
import dagster as dg
from rsft_assets.defs.process_mark import PROCESS_TAG, process_tag
from rsft_assets.runs.dead_runs import wait_for_slots
from rsft_assets.runs.instance import open_instance
from rsft_assets.steps.records.store import Store
from pathlib import Path

from rsft_assets_tests.runs.slow_job import slow, slow_job

os.environ["SLOW_SECONDS"] = sys.argv[2]
with open_instance(Store(Path(sys.argv[1]))) as instance:
    if sys.argv[3] == "command":
        wait_for_slots(instance, ["gpu"])
        dg.materialize([slow], instance=instance, tags=process_tag())
    elif sys.argv[3] == "foreign":
        dg.materialize([slow], instance=instance)
    else:
        tags = {PROCESS_TAG: sys.argv[3]} if ":" in sys.argv[3] else {}
        in_process = {"execution": {"config": {"in_process": {}}}}
        dg.execute_job(dg.reconstructable(slow_job), instance=instance, run_config=in_process, tags=tags)
"""


def await_two(instance):
    """Until one run has the slot and another waits for it."""
    until = time.monotonic() + 60
    while True:
        pool = instance.event_log_storage.get_concurrency_info("gpu")
        if len({step.run_id for step in (*pool.claimed_slots, *pool.pending_steps)}) == 2:
            return
        assert time.monotonic() < until
        time.sleep(0.1)


GONE = process_mark.process_name(2**22 + 1).replace("::", ":1:")
"""A process of this host that has ended."""


@dg.asset(pool="gpu")
def waits():
    pass


@dg.asset
def starts():
    pass


def start(home, seconds, how="command", wait=True):
    environment = {key: value for key, value in os.environ.items() if key != "DAGSTER_HOME"}
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(home), str(seconds), how],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    assert not wait or process.stdout.readline() == "at work\n"
    return process


def statuses(home, monkeypatch):
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with open_instance(Store(home)) as instance:
        return [run.status for run in instance.get_runs()]


@pytest.mark.slow
def test_a_killed_run_frees_its_slot(home, monkeypatch):
    killed = start(home, 600)
    assert statuses(home, monkeypatch) == [dg.DagsterRunStatus.STARTED], "a living run is left alone"
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    after = start(home, 0)
    after.communicate(timeout=60)
    assert statuses(home, monkeypatch) == [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]


@pytest.mark.slow
def test_a_killed_run_frees_its_slot_before_anybody_has_waited_for_its_process(tmp_path, monkeypatch):
    killed = start(tmp_path, 600)
    killed.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)
    found = statuses(tmp_path, monkeypatch)
    killed.communicate()
    assert found == [dg.DagsterRunStatus.FAILURE]


@pytest.mark.slow
def test_a_run_of_the_ui_that_is_killed_frees_its_slot(tmp_path, monkeypatch):
    # With the tags of the run that it repeats, as the UI starts it.
    working = start(tmp_path, 600, how=GONE)
    assert statuses(tmp_path, monkeypatch) == [dg.DagsterRunStatus.STARTED]
    working.send_signal(signal.SIGKILL)
    working.communicate()
    assert statuses(tmp_path, monkeypatch) == [dg.DagsterRunStatus.FAILURE]
    with open_instance(Store(tmp_path)) as instance:
        assert not instance.event_log_storage.get_concurrency_info("gpu").claimed_slots


@pytest.mark.slow
def test_a_run_of_a_foreign_program_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(dead_runs, "LOST_SECONDS", 0.0)
    working = start(tmp_path, 600, how="foreign")
    found = statuses(tmp_path, monkeypatch)
    working.kill()
    working.communicate()
    assert found == [dg.DagsterRunStatus.STARTED]


@pytest.mark.slow
def test_where_the_system_does_not_say_when_a_process_started_its_pid_decides(tmp_path, monkeypatch):
    working = start(tmp_path, 600, how="foreign")
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.setattr(process_mark, "start_ticks", lambda _: "")
    with open_instance(Store(tmp_path)) as instance:
        [run] = instance.get_runs()
        instance.add_run_tags(run.run_id, {PROCESS_TAG: process_mark.process_name(working.pid)})
    found = statuses(tmp_path, monkeypatch)
    working.kill()
    working.communicate()
    assert [found, statuses(tmp_path, monkeypatch)] == [[dg.DagsterRunStatus.STARTED], [dg.DagsterRunStatus.FAILURE]]


def test_a_run_at_work_says_that_it_lives(tmp_path, monkeypatch):
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.setattr(dead_runs, "SAY_EVERY_SECONDS", 0.2)
    with open_instance(Store(tmp_path)) as instance:
        mine = new_run(instance, dg.DagsterRunStatus.STARTED, process_tag())
        other = new_run(instance, dg.DagsterRunStatus.STARTED, {PROCESS_TAG: "elsewhere:1:1:x"})

        def changed(run):
            return instance.get_run_record_by_id(run).update_timestamp

        before = changed(mine), changed(other)
        with dead_runs.ending_dead_runs(instance):
            until = time.monotonic() + 60
            while changed(mine) == before[0] and time.monotonic() < until:
                time.sleep(0.1)
        assert changed(mine) > before[0] and changed(other) == before[1]


def test_a_run_killed_before_its_executor_began_is_ended_when_it_has_been_silent(tmp_path, monkeypatch):
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with open_instance(Store(tmp_path)) as instance:
        run = instance.create_run_for_job(dg.Definitions([waits]).resolve_implicit_global_asset_job_def())
        instance.report_run_canceling(run)
        instance.event_log_storage.initialize_concurrency_limit_to_default("gpu")
        assert instance.event_log_storage.claim_concurrency_slot("gpu", run.run_id, "waits").is_claimed
        assert dead_runs.end_dead_runs(instance) == []
        monkeypatch.setattr(dead_runs, "LOST_SECONDS", 0.0)
        assert dead_runs.end_dead_runs(instance) == [run.run_id]


def new_run(instance, status, tags, **fields):
    from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
    from dagster._core.utils import make_new_run_id

    # Dagster refuses to queue a run that no code location could start.
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("rsft_assets"), "__repository__")
    fields |= {"remote_job_origin": RemoteJobOrigin(repository, "__ASSET_JOB"), "status": status, "tags": tags}
    return instance.add_run(dg.DagsterRun("__ASSET_JOB", run_id=make_new_run_id(), **fields)).run_id


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.QUEUED])
def test_a_run_that_was_killed_before_it_began_is_ended(tmp_path, monkeypatch, status):
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with open_instance(Store(tmp_path)) as instance:
        dead = new_run(instance, status, {PROCESS_TAG: GONE})
        new_run(instance, status, process_tag())
        new_run(instance, status, {PROCESS_TAG: "elsewhere:1:1:x"})
        new_run(instance, status, {})
        before = new_run(instance, dg.DagsterRunStatus.SUCCESS, {})
        new_run(instance, status, {PROCESS_TAG: GONE}, parent_run_id=before, root_run_id=before)
        assert dead_runs.end_dead_runs(instance) == [dead]
        assert instance.get_run_by_id(dead).status == dg.DagsterRunStatus.FAILURE
        assert dead_runs.end_dead_runs(instance) == []


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.QUEUED])
def test_a_run_that_names_no_process_and_never_began_is_ended_when_it_is_old(tmp_path, monkeypatch, status):
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with open_instance(Store(tmp_path)) as instance:
        forgotten = new_run(instance, status, {})
        new_run(instance, status, process_tag())
        assert dead_runs.end_dead_runs(instance) == []
        monkeypatch.setitem(dead_runs._FORGOTTEN_SECONDS, status, -1.0)
        assert dead_runs.end_dead_runs(instance) == [forgotten]


@pytest.mark.slow
def test_a_dead_run_is_not_given_the_slot_that_it_waited_for(home, monkeypatch):
    working = start(home, 600)
    waiting = start(home, 600, how="ui", wait=False)
    with open_instance(Store(home)) as instance:
        await_two(instance)
        for process in (waiting, working):
            process.send_signal(signal.SIGKILL)
            process.communicate()
        assert len(dead_runs.end_dead_runs(instance)) == 2
        pool = instance.event_log_storage.get_concurrency_info("gpu")
        assert not pool.claimed_slots and not pool.pending_steps


@pytest.mark.slow
def test_who_waits_inside_dagster_for_a_run_that_is_killed_gets_its_slot(home, monkeypatch):
    working = start(home, 600)
    monkeypatch.setattr(dead_runs, "SAY_EVERY_SECONDS", 0.5)
    # As where two commands find the slot free at the same moment.
    monkeypatch.setattr(running_batches, "wait_for_slots", lambda *_: None)
    with open_instance(Store(home)) as instance:

        def kill_when_somebody_waits():
            await_two(instance)
            working.send_signal(signal.SIGKILL)
            working.communicate()

        killer = threading.Thread(target=kill_when_somebody_waits)
        killer.start()
        [outcome] = running_batches.run_batches(dg.Definitions([waits]), instance, [Batch(("waits",))])
        killer.join()
    assert outcome.ok


@pytest.mark.slow
def test_a_run_that_is_over_keeps_no_slot(tmp_path, monkeypatch):
    start(tmp_path, 0).communicate(timeout=60)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with open_instance(Store(tmp_path)) as instance:
        [run] = instance.get_runs()
        instance.event_log_storage.claim_concurrency_slot("gpu", run.run_id, "slow")
        assert dead_runs.end_dead_runs(instance) == [run.run_id]
        assert not instance.event_log_storage.get_concurrency_info("gpu").claimed_slots
        assert dead_runs.end_dead_runs(instance) == []


@pytest.mark.slow
def test_the_next_run_waits_for_a_living_one_and_says_for_whom(home, monkeypatch):
    from rsft_assets.defs.watching import watching
    from rsft_assets.runs.dead_runs import wait_for_slots

    working = start(home, 6)
    said = []
    with open_instance(Store(home)) as instance, watching(lambda event: said.append(event["words"])):
        wait_for_slots(instance, ["gpu"])
    working.communicate(timeout=60)
    assert len(said) == 1 and f"(process {working.pid} on {socket.gethostname()})" in said[0]


def test_a_pool_without_slots_is_refused_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with open_instance(Store(tmp_path)) as instance:
        instance.event_log_storage.set_concurrency_slots("gpu", 0)
        with pytest.raises(StepError, match=r"pool 'gpu' has a limit of 0.*dagster instance concurrency set gpu 1"):
            dead_runs.wait_for_slots(instance, ["gpu"])


def test_a_pool_without_slots_by_default_is_refused_before_anything_starts(tmp_path, monkeypatch):
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    settings = tmp_path / "dagster" / "dagster.yaml"
    settings.parent.mkdir()
    settings.write_text("concurrency: {pools: {default_limit: 0}}")
    with open_instance(Store(tmp_path)) as instance:
        batches = [Batch(("starts",)), Batch(("waits",))]
        with pytest.raises(StepError, match=rf"pool 'gpu' has a limit of 0.*default_limit in {settings}"):
            list(running_batches.run_batches(dg.Definitions([starts, waits]), instance, batches))
        assert instance.get_runs() == []
        instance.event_log_storage.set_concurrency_slots("gpu", 1)
        assert dead_runs.closed_pool(instance, ["gpu"]) == ""
