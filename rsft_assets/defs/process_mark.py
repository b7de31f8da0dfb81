"""The mark of a living process on a Dagster run: which process is at work on it, so that a dead one can be told."""

import os
import socket

import dagster as dg

from rsft_assets.steps.processes.parent_death import start_ticks

PROCESS_TAG = "rsft/process"


def process_tag() -> dict[str, str]:
    """The tag of a run that this process is at work on."""
    return {PROCESS_TAG: process_name(os.getpid())}


def mark(context: dg.AssetExecutionContext) -> None:
    """Say in the run's tags which process is at work on it."""
    context.instance.add_run_tags(context.run.run_id, process_tag())


def process_name(pid: int) -> str:
    """host:pid:start, which no later process has; the start is empty where there is none such."""
    return f"{socket.gethostname()}:{pid}:{start_ticks(pid)}"
