"""No process of a step outlives it, even where the step is killed with -9.

Engines start processes of their own (vLLM a core, and that its workers) through multiprocessing. A core that
outlived its step would keep memory, the GPU's above all, from the next try. Each such process is a new
interpreter that imports the step's module before anything else, and with it this one.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_PARENT = "RSFT_STEP_PROCESS"


def take_along() -> None:
    """From now on, processes that multiprocessing starts from here end with this one."""
    os.environ[_PARENT] = str(os.getpid())


def end_with_parent(number: signal.Signals) -> None:
    """Have the kernel send this process a signal when its parent ends, or only the thread that started it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)


def _if_started_by_a_step() -> None:
    parent = int(os.environ.get(_PARENT, 0))
    if parent and "--multiprocessing-fork" in sys.orig_argv:
        end_with_parent(signal.SIGKILL)
        # It may have ended before the kernel was asked.
        if parent != os.getppid() and not _lives(parent):
            os._exit(1)
        take_along()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


_if_started_by_a_step()
