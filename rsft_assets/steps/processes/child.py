"""Processes that this one starts, and how they end.

    child = Child([sys.executable, "-m", module], stdout=log)
    ...
    end([child], seconds=30.0)

A command leads a process group of its own and is told which process to end with (see `parent_death`). Functions run in
processes of multiprocessing's, from `spawn_context`; `end` takes both.
"""

import contextlib
import logging
import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from multiprocessing.context import SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from rsft_assets.steps.processes.parent_death import PARENT_SETTING, end_spawned_with_this, process_stat

log = logging.getLogger(__name__)
_LOOK_EVERY_SECONDS = 0.02


class Child(subprocess.Popen[bytes]):
    """A command in a process group of its own; `kill` reaches the whole group, `terminate` its leader alone."""

    def __init__(self, command: Sequence[str], *, env: Mapping[str, str] | None = None, **options: Any) -> None:
        environment = {**(os.environ if env is None else env), PARENT_SETTING: str(os.getpid())}
        super().__init__(command, env=environment, start_new_session=True, **options)

    @property
    def exitcode(self) -> int | None:
        """As multiprocessing's processes have it: None while it runs."""
        return self.poll()

    def kill(self) -> None:
        """Also where the leader has ended: what it started may have outlived it."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


def spawn_context() -> SpawnContext:
    """What multiprocessing starts new interpreters with; they end with this process."""
    end_spawned_with_this()
    return multiprocessing.get_context("spawn")


def end(
    processes: Sequence[Child | BaseProcess], *, seconds: float, ask: bool = True, after_first: bool = False
) -> None:
    """Ask processes to end, allow them these seconds together, then kill what is left of them and log what it was.

    Only the leader of a group is asked: it ends the others itself, and may need them to save its state. With
    `after_first`, the seconds count from the end of the first of them.
    """
    for process in processes:
        if ask and process.exitcode is None:
            process.terminate()
    while after_first and all(process.exitcode is None for process in processes):
        time.sleep(_LOOK_EVERY_SECONDS)
    until = time.monotonic() + seconds
    while _running(processes) and time.monotonic() < until:
        time.sleep(_LOOK_EVERY_SECONDS)
    for process in processes:
        for left in _left(process):
            log.info("killing process %d, left by process %s: %s", left, process.pid, _command_line(left))
        process.kill()
    while _running(processes):
        time.sleep(_LOOK_EVERY_SECONDS)


def _running(processes: Sequence[Child | BaseProcess]) -> bool:
    return any(process.exitcode is None for process in processes)


def _left(process: Child | BaseProcess) -> list[int]:
    """Living processes of a group; of a process that leads none, itself."""
    if isinstance(process, BaseProcess):
        return [process.pid] if process.pid and process.exitcode is None else []
    everyone = ((int(entry.name), process_stat(int(entry.name))) for entry in Path("/proc").glob("[0-9]*"))
    return [pid for pid, stat in everyone if stat and stat[0] not in "ZX" and int(stat[2]) == process.pid]


def _command_line(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return "ended meanwhile"
