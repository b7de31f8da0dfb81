"""Runs whose process is gone. Dagster would show them as running, and hold their pool's slot, for ever.

Our commands tag their runs with their process; of a run that the UI started, its op does, once it has begun. Whoever
opens the instance next ends those whose process died.
"""

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import dagster as dg
from sqlalchemy.exc import SQLAlchemyError

from rsft_assets.defs.process_mark import PROCESS_TAG, process_name
from rsft_assets.defs.watching import tell
from rsft_assets.steps.processes.parent_death import start_ticks

log = logging.getLogger(__name__)
_ASK_AGAIN_SECONDS = 1.0
_LOOK_EVERY_SECONDS = 30.0
_NAMELESS = "no name known"
_SILENT_SECONDS = 120.0
"""A run that begins says so at every turn. One that is silent for longer was killed before its first op."""
_STATISTICS = Path("/proc/stat")
_FORGOTTEN_SECONDS = {dg.DagsterRunStatus.NOT_STARTED: 3_600.0, dg.DagsterRunStatus.QUEUED: 7 * 86_400.0}
"""After which a run that has not begun and names no process counts as dead. Not started lasts for seconds; a queue may
be long.
"""
_AT_WORK = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def end_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Fail this machine's runs whose process is gone, and free the slots of all that are over; their ids."""
    storage = instance.event_log_storage
    pools = [storage.get_concurrency_info(name) for name in storage.get_concurrency_keys()]
    # Those that wait, too: a slot is given to the next one, dead or alive.
    in_pools = {slot.run_id for pool in pools for slot in pool.claimed_slots}
    in_pools |= {step.run_id for pool in pools for step in pool.pending_steps}
    at_work = instance.get_runs(filters=dg.RunsFilter(statuses=_AT_WORK))
    ended = list(in_pools - {run.run_id for run in at_work})
    for run_id in ended:
        # Its process died between the last word on it and the release of its slot.
        storage.free_concurrency_slots_for_run(run_id)
    for run in at_work:
        if process := _dead_process(instance, run, in_pool=run.run_id in in_pools):
            # The slots first: a run that is over would keep what a kill in between leaves it.
            storage.free_concurrency_slots_for_run(run.run_id)
            instance.report_run_failed(run, f"its process ({process}) is gone; what it finished is kept")
            log.info("run %s ended: its process is gone", run.run_id)
            ended.append(run.run_id)
    return ended + [_end_unbegun(instance, run) for run in _dead_before_they_began(instance)]


def _dead_before_they_began(instance: dg.DagsterInstance) -> Iterator[dg.DagsterRun]:
    for record in instance.get_run_records(filters=dg.RunsFilter(statuses=list(_FORGOTTEN_SECONDS))):
        run = record.dagster_run
        # A run that repeats another has the tags of that one.
        process = "" if run.parent_run_id else run.tags.get(PROCESS_TAG, "")
        age = time.time() - record.create_timestamp.timestamp()
        if _died_here(process) if process else age > _FORGOTTEN_SECONDS[run.status]:
            yield run


def _end_unbegun(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    instance.report_run_failed(run, "it never began and its process is gone")
    log.info("run %s ended: it never began", run.run_id)
    return run.run_id


def _died_here(process: str) -> bool:
    """Whether a named process was one of this machine and is gone."""
    host, pid, _ = process.split(":")
    return host == socket.gethostname() and process != process_name(int(pid))


def _dead_process(instance: dg.DagsterInstance, run: dg.DagsterRun, *, in_pool: bool) -> str:
    """The name of the process that a run had; empty where it lives or nobody here can tell."""
    process = run.tags.get(PROCESS_TAG, "")
    if not (_died_here(process) if process else in_pool):
        return ""
    # A tag may be that of a step which is done, or have come along with the run which this one repeats.
    executor = _executor(instance, run)
    alive = not _is_silent(instance, run) if executor is None else _was_there(*executor)
    return "" if alive else process or _NAMELESS


def _executor(instance: dg.DagsterInstance, run: dg.DagsterRun) -> tuple[int, float] | None:
    """The process that runs the steps, and when it said so; None before that."""
    found = None
    for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
        event = entry.dagster_event
        if event is not None and (pid := event.engine_event_data.metadata.get("pid")) is not None:
            found = int(str(pid.value)), entry.timestamp
    return found


def _is_silent(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    records = instance.get_records_for_run(run.run_id, limit=1, ascending=False).records
    return not records or time.time() - records[0].timestamp > _SILENT_SECONDS


@contextlib.contextmanager
def ending_dead_runs(instance: dg.DagsterInstance) -> Iterator[None]:
    """End dead runs every now and then: a run of ours that waits for a slot inside Dagster cannot do so itself."""
    done = threading.Event()

    def look() -> None:
        while not done.wait(_LOOK_EVERY_SECONDS):
            try:
                end_dead_runs(instance)
            except SQLAlchemyError as error:
                log.warning("could not look for dead runs: %s", error)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def wait_for_slots(instance: dg.DagsterInstance, pools: Iterable[str]) -> None:
    """Wait, saying for whom, until each pool has a free slot; Dagster's own executor would wait in a busy loop."""
    for pool in pools:
        said = False
        while holders := _holders(instance, pool):
            if not end_dead_runs(instance):
                if not said:
                    tell({"event": "note", "words": f"pool {pool!r} is in use by {holders}; waiting for it"})
                said = True
                time.sleep(_ASK_AGAIN_SECONDS)


def _holders(instance: dg.DagsterInstance, pool: str) -> str:
    """Who holds a full pool, in words; empty where there is room."""
    info = instance.event_log_storage.get_concurrency_info(pool)
    if not info.slot_count or len(info.claimed_slots) < info.slot_count:
        return ""
    runs = [instance.get_run_by_id(slot.run_id) for slot in info.claimed_slots]
    return ", ".join(f"run {run.run_id[:8]} ({run.tags.get(PROCESS_TAG, _NAMELESS)})" for run in runs if run)


def _was_there(pid: int, at: float) -> bool:
    """Whether the process that has this number now had it then; where the system does not say, nobody is taken for
    dead.
    """
    if not _STATISTICS.exists():
        return True
    ticks = start_ticks(pid)
    if not ticks:
        return False
    [booted] = [line.split()[1] for line in _STATISTICS.read_text().splitlines() if line.startswith("btime")]
    return int(booted) + int(ticks) / os.sysconf("SC_CLK_TCK") <= at + 1
