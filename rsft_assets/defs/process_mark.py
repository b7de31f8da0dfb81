"""A tag on Dagster runs that names the process at work, so that runs of dead processes can be found."""

import os
import socket

import dagster as dg

from rsft_assets.defs.failures import show_traces
from rsft_assets.steps.processes.parent_death import start_ticks

PROCESS_TAG = "rsft/process"


def process_tag() -> dict[str, str]:
    """The tag of a run that this process works on."""
    return {PROCESS_TAG: process_name(os.getpid())}


def mark(context: dg.AssetExecutionContext | dg.OpExecutionContext) -> None:
    """Tag the run with this process, at the start of each op."""
    show_traces()
    context.instance.add_run_tags(context.run.run_id, process_tag())


def process_name(pid: int) -> str:
    """host:pid:start, unique even if the pid is used again; the start is empty if there is no such process."""
    return f"{socket.gethostname()}:{pid}:{start_ticks(pid)}"
