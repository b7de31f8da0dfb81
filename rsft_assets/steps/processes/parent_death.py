"""Ending a process when its parent ends, even if the parent is killed with -9.

Linux sends a signal when the parent ends, or only the thread of it that started the process; elsewhere a thread looks.
`child.Child` tells a command which process to end with, and the command calls `end_with_parent`. What multiprocessing
starts, for us or for a library (vLLM's core and its workers), is a new interpreter that imports the module of the
step, and with it this one, before it does anything.

Standard library only, nothing of the package: the sandbox's server loads this file by its path.
"""

import ctypes
import os
import signal
import sys
import threading
import time
from pathlib import Path

PARENT_SETTING = "RSFT_PARENT"
"""The process that a started one is to end with: its parent, or an ancestor where a library started it."""
_PR_SET_PDEATHSIG = 1
_LOOK_EVERY_SECONDS = 0.5


def end_with_parent(parent: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Let this process get a signal when its parent ends, and at once where `parent` has ended already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
    else:
        threading.Thread(target=_signal_after, args=(os.getppid(), number), daemon=True).start()
    if os.getppid() != parent and not is_alive(parent):
        os.kill(os.getpid(), number)


def end_spawned_with_this() -> None:
    """From now on, what multiprocessing spawns from here ends with this process."""
    os.environ[PARENT_SETTING] = str(os.getpid())


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        os.kill(pid, 0)
    except OSError as error:
        return isinstance(error, PermissionError)
    return process_stat(pid)[:1] not in (["Z"], ["X"])


def start_ticks(pid: int) -> str:
    """When a running process started, in clock ticks since boot; empty if there is none or /proc is missing."""
    fields = process_stat(pid)
    return fields[19] if fields and fields[0] not in "ZX" else ""


def process_stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; empty if there are none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _signal_after(parent: int, number: signal.Signals) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY_SECONDS)
    os.kill(os.getpid(), number)


if PARENT_SETTING in os.environ and "--multiprocessing-fork" in sys.orig_argv:
    end_with_parent(int(os.environ[PARENT_SETTING]))
    end_spawned_with_this()
