"""Processes that this one starts, and how they end.

    child = Child([sys.executable, "-m", module], stdout=log)
    ...
    end([child], seconds=30.0)

A command leads a process group of its own and is told which process to end with (see `parent_death`). Functions run in
processes of multiprocessing's, from `spawn_context`; `end` takes both.
"""

import contextlib
import logging
import math
import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
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
        """None while it runs, as for multiprocessing's processes."""
        return self.poll()

    def kill(self) -> None:
        """Also if the leader has ended: its children may still run."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


Process = Child | BaseProcess


def spawn_context() -> SpawnContext:
    """What multiprocessing starts new interpreters with; they end with this process."""
    end_spawned_with_this()
    return multiprocessing.get_context("spawn")


def end(processes: Sequence[Process], *, seconds: float, ask: bool = True, after_first: bool = False) -> None:
    """Terminate processes, wait up to these seconds for all of them, then kill and log the rest.

    Only the leader of a group is asked: it ends the others itself, and may need them to save its state. With
    `after_first`, the seconds count from the end of the first of them.
    """
    for process in processes:
        if ask and process.exitcode is None:
            process.terminate()
    while after_first and all(process.exitcode is None for process in processes):
        time.sleep(_LOOK_EVERY_SECONDS)
    _wait(processes, time.monotonic() + seconds)
    for process in processes:
        for pid, command in _left(process):
            log.info("killing process %d, left by process %s: %s", pid, process.pid, command)
        process.kill()
    _wait(processes, math.inf)


def _wait(processes: Sequence[Process], until: float) -> None:
    while any(process.exitcode is None for process in processes) and time.monotonic() < until:
        time.sleep(_LOOK_EVERY_SECONDS)


def _left(leader: Process) -> Iterator[tuple[int, str]]:
    """What runs of its group, and as which command; a process of multiprocessing's leads none."""
    for entry in Path("/proc").glob("[0-9]*"):
        pid, stat = int(entry.name), process_stat(int(entry.name))
        if stat and stat[0] not in "ZX" and leader.pid in (pid, int(stat[2])):
            with contextlib.suppress(OSError):
                yield pid, (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
