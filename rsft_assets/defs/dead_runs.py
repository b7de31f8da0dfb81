"""Runs whose process is gone. Dagster would show them as running, and hold their pool's slot, for ever.

Every op marks its run with the process at work; whoever opens the instance next ends those that died.
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
_AT_WORK = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def mark(context: dg.AssetExecutionContext) -> None:
    """Say in the run's tags which process is at work on it."""
    context.instance.add_run_tags(context.run.run_id, {PROCESS_TAG: _name(os.getpid())})


def end_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Fail the marked runs of this machine whose process is gone and free their slots; their ids."""
    ended = []
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=_AT_WORK)):
        process = run.tags.get(PROCESS_TAG, "")
        host, _, rest = process.partition(":")
        if host != socket.gethostname() or process == _name(int(rest.partition(":")[0])):
            continue
        instance.report_run_failed(run, f"its process ({process}) is gone; what it finished is kept")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        log.info("run %s ended: its process is gone", run.run_id)
        ended.append(run.run_id)
    return ended


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
    return ", ".join(f"run {run.run_id[:8]} ({run.tags.get(PROCESS_TAG, 'no process known')})" for run in runs if run)


def _name(pid: int) -> str:
    """host:pid:start, which no later process has; the start is empty where there is none such."""
    try:
        start = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        start = ""
    return f"{socket.gethostname()}:{pid}:{start}"
