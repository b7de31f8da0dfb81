"""An advisory lock per output: one process makes it at a time. The kernel releases it when the holder dies."""

import contextlib
import fcntl
import json
import logging
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from rsft_assets.steps.processes.events import send

log = logging.getLogger(__name__)
_ASK_AGAIN_SECONDS = 0.2
_SAY_AFTER_SECONDS = 1.0
_SAY_AGAIN_SECONDS = 30.0


@contextlib.contextmanager
def exclusive(path: Path, what: str) -> Iterator[bool]:
    """Hold the lock at `path`, waiting for another holder by name; yields whether it had to wait."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        waited = _acquire(file.fileno(), path, what)
        file.seek(0)
        file.truncate()
        json.dump({"pid": os.getpid(), "host": socket.gethostname(), "command": " ".join(sys.orig_argv)[:300]}, file)
        file.flush()
        yield waited


def _acquire(descriptor: int, path: Path, what: str) -> bool:
    """Whether another holder had to be waited for; a short wait is not logged."""
    blocked = False
    say_at = time.monotonic() + _SAY_AFTER_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return blocked
        except BlockingIOError:
            blocked = True
            if time.monotonic() >= say_at:
                say_at = time.monotonic() + _SAY_AGAIN_SECONDS
                message = f"{what} is locked by {holder(path)}; waiting for it"
                log.warning("%s", message)
                send({"event": "note", "words": message})
            time.sleep(_ASK_AGAIN_SECONDS)


def holder(path: Path) -> str:
    """The holder of a lock, for a message."""
    try:
        who = json.loads(path.read_text(encoding="utf-8"))
        return f"process {who['pid']} on {who['host']} ({who['command']})"
    except (OSError, ValueError, KeyError):
        return "another process"
