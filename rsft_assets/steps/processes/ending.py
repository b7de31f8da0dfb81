"""The end of a process that has imported PyTorch: taking all its libraries apart would take Python a second.

leave(main())                       # in place of sys.exit
atexit.register(end_now, 0)         # before anything else is registered, so that it runs last
"""

import atexit
import contextlib
import ctypes
import os
import sys
import threading
from typing import NoReturn


def leave(status: int) -> NoReturn:
    """As `sys.exit`: threads are waited for, and what was registered for the end is called."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    end_now(status)


def end_now(status: int) -> NoReturn:
    """Write out what the streams of Python and of C hold, and end."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            if stream is not None:
                stream.flush()
    ctypes.CDLL(None).fflush(None)
    os._exit(status)
