"""A tag on Dagster runs that names the process at work, so that runs of dead processes can be found.

The process is that of the executor: it sets the tag before the first step, and again every half minute. Dagster keeps
when a run was last changed, which shows another machine that the process lives. Our commands, which execute runs in
their own process, do the same.
"""

import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg

from rsft_assets.steps.processes.parent_death import is_alive, start_ticks

log = logging.getLogger(__name__)
PROCESS_TAG = "rsft/process"
SAY_EVERY_SECONDS = 30.0
AT_WORK = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def process_tag() -> dict[str, str]:
    """The tag of a run that this process works on."""
    return {PROCESS_TAG: process_name(os.getpid())}


def process_name(pid: int) -> str:
    """host:pid:start:machine, unique even if the pid is used again; the start is empty if there is no such process."""
    return f"{socket.gethostname()}:{pid}:{start_ticks(pid)}:{_machine()}"


def process_in_words(process: str) -> str:
    """A process that a tag names, for a message."""
    host, pid = process.split(":")[:2]
    return f"process {pid} on {host}"


def ran_here(process: str) -> bool:
    """Whether a process that a tag names ran where this one could see it."""
    return process.rpartition(":")[2] == _machine() and process.startswith(f"{socket.gethostname()}:")


def is_gone(process: str) -> bool:
    """Whether a process that ran here has ended."""
    _, pid, start, _ = process.rsplit(":", 3)
    return not is_alive(int(pid)) or start_ticks(int(pid)) != start


def _machine() -> str:
    """The boot and the PID namespace: hosts may share a name, and containers of one host have pids of their own."""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        return f"{boot[:8]}-{Path('/proc/self/ns/pid').readlink().name[5:-1]}"
    return ""


def say_alive(instance: dg.DagsterInstance) -> None:
    """Tag the runs of this process again, which changes nothing but the time of their last change."""
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=AT_WORK, tags=process_tag())):
        instance.add_run_tags(run.run_id, process_tag())


@contextlib.contextmanager
def every(seconds: float, act: Callable[[], object]) -> Iterator[None]:
    """Call `act` periodically in a thread while the block runs; what it raises is logged."""
    done = threading.Event()

    def repeat() -> None:
        while not done.wait(seconds):
            try:
                act()
            except Exception as error:  # a database that is busy or away for a while
                log.warning("%s", str(error).partition("\n")[0])

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


class _Marking(dg.Executor):
    """Another executor, whose runs are marked."""

    def __init__(self, inner: dg.Executor) -> None:
        self._inner = inner

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[dg.DagsterEvent]:
        instance = plan_context.instance
        instance.add_run_tags(plan_context.run_id, process_tag())
        with every(SAY_EVERY_SECONDS, lambda: say_alive(instance)):
            yield from self._inner.execute(plan_context, execution_plan)

    @property
    def retries(self) -> Any:
        return self._inner.retries

    @property
    def step_dependency_config(self) -> Any:
        return self._inner.step_dependency_config


# Dagster leaves its types open.
_default: Any = dg.multi_or_in_process_executor
marking_executor = dg.ExecutorDefinition(
    _default.name,
    _default.config_schema,
    _default.get_requirements,
    lambda context: _Marking(_default.executor_creation_fn(context)),
)
"""Dagster's default executor, whose runs name their process also while they wait for a pool's slot."""
