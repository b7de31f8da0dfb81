"""Ending runs whose process died. Dagster would show them as running and keep their slots of a pool indefinitely.

Every run names its process (`defs.process_mark`). The next process that opens the instance ends the runs whose process
is gone: at once where it ran on the same machine, else when it has given no sign of life for some time.
"""

import contextlib
import datetime
import logging
import time
from collections.abc import Iterable, Iterator

import dagster as dg

from rsft_assets.defs.process_mark import (
    AT_WORK,
    PROCESS_TAG,
    SAY_EVERY_SECONDS,
    every,
    is_gone,
    process_in_words,
    ran_here,
    say_alive,
)
from rsft_assets.defs.watching import tell
from rsft_assets.specs.errors import StepError

log = logging.getLogger(__name__)
_ASK_AGAIN_SECONDS = 1.0
_NAMELESS = "no name known"
LOST_SECONDS = 900.0
"""A process of another machine that has given no sign for longer is dead: a machine may be away for ten minutes."""
_FORGOTTEN_SECONDS = {dg.DagsterRunStatus.NOT_STARTED: 3_600.0, dg.DagsterRunStatus.QUEUED: 7 * 86_400.0}
"""After this time a run that has not begun and names no process counts as dead. Starting takes seconds, a queue may
take days.
"""


def end_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Fail the runs whose process is gone, and free the slots of all that are over; their ids."""
    storage = instance.event_log_storage
    pools = [storage.get_concurrency_info(name) for name in storage.get_concurrency_keys()]
    # Include waiting runs: a freed slot may go to one whose process is dead.
    in_pools = {slot.run_id for pool in pools for slot in pool.claimed_slots}
    in_pools |= {step.run_id for pool in pools for step in pool.pending_steps}
    at_work = instance.get_run_records(filters=dg.RunsFilter(statuses=AT_WORK))
    ended = list(in_pools - {record.dagster_run.run_id for record in at_work})
    for run_id in ended:
        # Its process died after its last event and before it released the slot.
        storage.free_concurrency_slots_for_run(run_id)
    for record in at_work:
        run = record.dagster_run
        if process := _dead_process(instance, record):
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
        age = _age(record.create_timestamp)
        if _died_here(process) if process else age > _FORGOTTEN_SECONDS[run.status]:
            yield run


def _end_unbegun(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    instance.report_run_failed(run, "it never began and its process is gone")
    log.info("run %s ended: it never began", run.run_id)
    return run.run_id


def _died_here(process: str) -> bool:
    """Whether a process named in a tag ran on this machine and is gone."""
    return ran_here(process) and is_gone(process)


def _dead_process(instance: dg.DagsterInstance, record: dg.RunRecord) -> str:
    """The name of a run's dead process; empty if it lives or nothing shows that it is dead."""
    run, process = record.dagster_run, record.dagster_run.tags.get(PROCESS_TAG, "")
    if process and not _is_inherited(instance, run, process):
        dead = is_gone(process) if ran_here(process) else _age(record.update_timestamp) > LOST_SECONDS
        return process if dead else ""
    # It has no process yet, or one of a program of the user's own, which names none.
    return "" if _has_executor(instance, run) or not _is_silent(instance, record) else _NAMELESS


def _is_inherited(instance: dg.DagsterInstance, run: dg.DagsterRun, process: str) -> bool:
    """Whether a tag is that of the run that this one retries."""
    first = instance.get_run_by_id(run.parent_run_id) if run.parent_run_id else None
    return first is not None and first.tags.get(PROCESS_TAG) == process


def _has_executor(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    events = (one.dagster_event for one in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT))
    return any(event is not None and "pid" in event.engine_event_data.metadata for event in events)


def _is_silent(instance: dg.DagsterInstance, record: dg.RunRecord) -> bool:
    last = instance.get_records_for_run(record.dagster_run.run_id, limit=1, ascending=False).records
    return _age(record.update_timestamp) > LOST_SECONDS and all(
        time.time() - one.timestamp > LOST_SECONDS for one in last
    )


def _age(moment: datetime.datetime) -> float:
    return time.time() - moment.timestamp()


@contextlib.contextmanager
def ending_dead_runs(instance: dg.DagsterInstance) -> Iterator[None]:
    """Say that this one lives, and end dead runs; a run that waits for a slot inside Dagster cannot do so itself."""

    def look() -> None:
        say_alive(instance)
        end_dead_runs(instance)

    with every(SAY_EVERY_SECONDS, look):
        yield


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
    if closed := closed_pool(instance, [pool]):
        raise StepError(closed)
    info = instance.event_log_storage.get_concurrency_info(pool)
    if not info.slot_count or len(info.claimed_slots) < info.slot_count:
        return ""
    runs = [instance.get_run_by_id(slot.run_id) for slot in info.claimed_slots]
    tags = {run.run_id[:8]: run.tags.get(PROCESS_TAG) for run in runs if run}
    return ", ".join(f"run {run} ({process_in_words(tag) if tag else _NAMELESS})" for run, tag in tags.items())


def closed_pool(instance: dg.DagsterInstance, pools: Iterable[str]) -> str:
    """What to do about the first of these pools that has no slots; empty where all have some."""
    limits = {pool.name: pool for pool in instance.event_log_storage.get_pool_limits()}
    for name in pools:
        known = limits.get(name)
        limit = instance.global_op_concurrency_default_limit
        where = f"under concurrency.pools.default_limit in {instance.root_directory}/dagster.yaml"
        if known and not known.from_default:
            limit = known.limit
            where = f"in the UI under Deployment > Concurrency, or with `dagster instance concurrency set {name} 1`"
        if limit == 0:
            return f"pool {name!r} has a limit of 0, so nothing in it can run; raise it {where}"
    return ""
