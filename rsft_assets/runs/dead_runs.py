"""Ending runs whose process died. Dagster would show them as running and keep their slots of a pool indefinitely.

Our commands tag their runs with their process. In a run that the UI started, the op does so when it begins. The next
process that opens the instance ends the runs whose process is gone.
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
"""A run that starts logs continuously. One without events for longer was killed before its first op."""
_STATISTICS = Path("/proc/stat")
_FORGOTTEN_SECONDS = {dg.DagsterRunStatus.NOT_STARTED: 3_600.0, dg.DagsterRunStatus.QUEUED: 7 * 86_400.0}
"""After this time a run that has not begun and names no process counts as dead. Starting takes seconds, a queue may
take days.
"""
AT_WORK = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def end_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Fail this machine's runs whose process is gone, and free the slots of all that are over; their ids."""
    storage = instance.event_log_storage
    pools = [storage.get_concurrency_info(name) for name in storage.get_concurrency_keys()]
    # Include waiting runs: a freed slot may go to one whose process is dead.
    in_pools = {slot.run_id for pool in pools for slot in pool.claimed_slots}
    in_pools |= {step.run_id for pool in pools for step in pool.pending_steps}
    at_work = instance.get_runs(filters=dg.RunsFilter(statuses=AT_WORK))
    ended = list(in_pools - {run.run_id for run in at_work})
    for run_id in ended:
        # Its process died after its last event and before it released the slot.
        storage.free_concurrency_slots_for_run(run_id)
    for run in at_work:
        if process := _dead_process(instance, run, in_pool=run.run_id in in_pools):
            # Slots first: if this process is killed in between, the run still counts as running and is ended next time.
            storage.free_concurrency_slots_for_run(run.run_id)
            instance.report_run_failed(run, f"its process ({process}) is gone; what it finished is kept")
            log.info("run %s ended: its process is gone", run.run_id)
            ended.append(run.run_id)
    return ended + [_end_unbegun(instance, run) for run in _dead_before_they_began(instance)]


def _dead_before_they_began(instance: dg.DagsterInstance) -> Iterator[dg.DagsterRun]:
    for record in instance.get_run_records(filters=dg.RunsFilter(statuses=list(_FORGOTTEN_SECONDS))):
        run = record.dagster_run
        # A retried run inherits the tags of the first.
        process = "" if run.parent_run_id else run.tags.get(PROCESS_TAG, "")
        age = time.time() - record.create_timestamp.timestamp()
        if _died_here(process) if process else age > _FORGOTTEN_SECONDS[run.status]:
            yield run


def _end_unbegun(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    instance.report_run_failed(run, "it never began and its process is gone")
    log.info("run %s ended: it never began", run.run_id)
    return run.run_id


def _died_here(process: str) -> bool:
    """Whether a process named in a tag ran on this machine and is gone."""
    host, pid, _ = process.split(":")
    return host == socket.gethostname() and process != process_name(int(pid))


def _dead_process(instance: dg.DagsterInstance, run: dg.DagsterRun, *, in_pool: bool) -> str:
    """The name of a run's dead process; empty if it is alive or cannot be checked on this machine."""
    process = run.tags.get(PROCESS_TAG, "")
    if not (_died_here(process) if process else in_pool):
        return ""
    # A tag may name a finished step, or be inherited from the run that this one retries.
    executor = _executor(instance, run)
    alive = not _is_silent(instance, run) if executor is None else _was_there(*executor)
    return "" if alive else process or _NAMELESS


def _executor(instance: dg.DagsterInstance, run: dg.DagsterRun) -> tuple[int, float] | None:
    """The process that runs the steps and the time of its event; None before that event."""
    executor = None
    for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
        event = entry.dagster_event
        if event is not None and (pid := event.engine_event_data.metadata.get("pid")) is not None:
            executor = int(str(pid.value)), entry.timestamp
    return executor


def _is_silent(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    records = instance.get_records_for_run(run.run_id, limit=1, ascending=False).records
    return not records or time.time() - records[0].timestamp > _SILENT_SECONDS


@contextlib.contextmanager
def ending_dead_runs(instance: dg.DagsterInstance) -> Iterator[None]:
    """End dead runs periodically: a run that waits for a slot inside Dagster cannot do so itself."""
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
    """Wait until each pool has a free slot, and log who holds it; Dagster's own executor would wait in a busy loop."""
    for pool in pools:
        said = False
        while holders := _holders(instance, pool):
            if not end_dead_runs(instance):
                if not said:
                    tell({"event": "note", "words": f"pool {pool!r} is in use by {holders}; waiting for it"})
                said = True
                time.sleep(_ASK_AGAIN_SECONDS)


def _holders(instance: dg.DagsterInstance, pool: str) -> str:
    """The runs that hold a full pool, for a message; empty if a slot is free."""
    info = instance.event_log_storage.get_concurrency_info(pool)
    if not info.slot_count or len(info.claimed_slots) < info.slot_count:
        return ""
    runs = [instance.get_run_by_id(slot.run_id) for slot in info.claimed_slots]
    return ", ".join(f"run {run.run_id[:8]} ({run.tags.get(PROCESS_TAG, _NAMELESS)})" for run in runs if run)


def _was_there(pid: int, at: float) -> bool:
    """Whether the process with this pid already ran at that time; True if the system cannot tell."""
    if not _STATISTICS.exists():
        return True
    ticks = start_ticks(pid)
    if not ticks:
        return False
    [booted] = [line.split()[1] for line in _STATISTICS.read_text().splitlines() if line.startswith("btime")]
    return int(booted) + int(ticks) / os.sysconf("SC_CLK_TCK") <= at + 1
