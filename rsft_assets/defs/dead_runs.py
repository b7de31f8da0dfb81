"""Runs whose process is gone. Dagster would show them as running, and hold their pool's slot, for ever.

Our commands tag their runs with their process; of a run that the UI started, its op does, once it has begun. Whoever
opens the instance next ends those whose process died.
"""

import logging
import os
import socket
import time
from collections.abc import Iterable
from pathlib import Path

import dagster as dg

from rsft_assets.defs.watching import tell

log = logging.getLogger(__name__)
PROCESS_TAG = "rsft/process"
_ASK_AGAIN_SECONDS = 1.0
_NAMELESS = "no name known"
_SILENT_SECONDS = 120.0
"""A run that begins says so at every turn. One that is silent for longer was killed before its first op."""
_AT_WORK = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def process_tag() -> dict[str, str]:
    """The tag of a run that this process is at work on."""
    return {PROCESS_TAG: _name(os.getpid())}


def mark(context: dg.AssetExecutionContext) -> None:
    """Say in the run's tags which process is at work on it."""
    context.instance.add_run_tags(context.run.run_id, process_tag())


def end_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Fail this machine's runs whose process is gone, and free the slots of all that are over; their ids."""
    storage = instance.event_log_storage
    pools = map(storage.get_concurrency_info, storage.get_concurrency_keys())
    holding = {slot.run_id for info in pools for slot in info.claimed_slots}
    at_work = instance.get_runs(filters=dg.RunsFilter(statuses=_AT_WORK))
    ended = list(holding - {run.run_id for run in at_work})
    for run_id in ended:
        # Its process died between the last word on it and the release of its slot.
        storage.free_concurrency_slots_for_run(run_id)
    for run in at_work:
        if process := _dead_process(instance, run, holds_slot=run.run_id in holding):
            # The slots first: a run that is over would keep what a kill in between leaves it.
            storage.free_concurrency_slots_for_run(run.run_id)
            instance.report_run_failed(run, f"its process ({process}) is gone; what it finished is kept")
            log.info("run %s ended: its process is gone", run.run_id)
            ended.append(run.run_id)
    return ended


def _dead_process(instance: dg.DagsterInstance, run: dg.DagsterRun, *, holds_slot: bool) -> str:
    """The name of the process that a run had; empty where it lives or nobody here can tell."""
    process = run.tags.get(PROCESS_TAG, "")
    if process:
        host, pid, _ = process.split(":")
        if host != socket.gethostname() or process == _name(int(pid)):
            return ""
        # That of a step which is done, or a tag that came along with the run which this one repeats.
        executor = _executor(instance, run)
        if executor is not None:
            return "" if _was_there(*executor) else process
    if (process or holds_slot) and _is_silent(instance, run):
        return process or _NAMELESS
    return ""


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


def _name(pid: int) -> str:
    """host:pid:start, which no later process has; the start is empty where there is none such."""
    return f"{socket.gethostname()}:{pid}:{_start_ticks(pid)}"


def _was_there(pid: int, at: float) -> bool:
    """Whether the process that has this number now had it then."""
    ticks = _start_ticks(pid)
    if not ticks:
        return False
    [booted] = [line.split()[1] for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime")]
    return int(booted) + int(ticks) / os.sysconf("SC_CLK_TCK") <= at + 1


def _start_ticks(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
