"""Events of a running step for its launcher: progress, notes, and each output when it is published.

Where `RSFT_EVENTS` names a file, each event is appended there as one JSON line, and `follow` reads them. Without it,
they are only logged.
"""

import json
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.processes.child import Child

EVENTS_SETTING = "RSFT_EVENTS"
_POLL_SECONDS = 0.05
log = logging.getLogger(__name__)


class Progress:
    """Work done out of work planned, said at most once in `every` seconds: `step(n)` adds, `note` is free text.

    A `total` of 0 means that it is not known yet.
    """

    def __init__(self, what: str, total: int, unit: str, *, every: float = 1.0) -> None:
        self.what, self.total, self.unit, self.every = what, total, unit, every
        self.done = 0
        self._started = time.monotonic()
        self._first = 0
        self._said_at = self._started

    def skip(self, count: int) -> None:
        """Count work that an earlier try had finished; it does not enter the rate."""
        self.done += count
        self._first += count

    def step(self, count: int = 1, note: str = "") -> None:
        """Count finished work, and report it unless it was reported just now."""
        self.done += count
        now = time.monotonic()
        if now - self._said_at >= self.every or self.done >= self.total > 0:
            self._said_at = now
            self._say(now, note)

    def _say(self, now: float, note: str) -> None:
        rate = (self.done - self._first) / max(now - self._started, 1e-9)
        left = (self.total - self.done) / rate if rate > 0 and self.total else None
        event = {
            "event": "progress",
            "what": self.what,
            "done": self.done,
            "total": self.total,
            "unit": self.unit,
            "rate": round(rate, 3),
            "eta_seconds": None if left is None else round(left, 1),
            "note": note,
        }
        send(event)
        if EVENTS_SETTING not in os.environ:
            of_total = f"/{self.total}" if self.total else ""
            log.info("%s %d%s %s, %.3g/s %s", self.what, self.done, of_total, self.unit, rate, note)


def send(event: dict[str, Any]) -> None:
    """Append one event to the launcher's file, if there is one."""
    path = os.environ.get(EVENTS_SETTING)
    if path:
        # One write to a file opened for appending: lines of several processes never mix.
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, (json.dumps(event) + "\n").encode())
        finally:
            os.close(descriptor)


def follow(process: Child, path: Path) -> Iterator[dict[str, Any]]:
    """Whole events as they come, until the process has ended and all are read."""
    position, ended = 0, False
    while not ended:
        ended = process.poll() is not None
        if path.exists():
            with path.open("rb") as file:
                file.seek(position)
                lines = file.read().rpartition(b"\n")[0]
            position += len(lines) + 1 if lines else 0
            yield from map(json.loads, lines.splitlines())
        time.sleep(0.0 if ended else _POLL_SECONDS)


def say_published(ref: Ref, folder: Path) -> None:
    """Tell the launcher about a finished output, so that it can be recorded at once."""
    send({"event": "published", "asset": ref.asset, "partition": ref.partition, "folder": str(folder)})
    log.info("published %s", ref)


def say_skipped(ref: Ref, reason: str) -> None:
    """Tell the launcher that a partition was left out, and why."""
    send({"event": "skipped", "asset": ref.asset, "partition": ref.partition, "reason": reason})
    log.warning("skipped %s: %s", ref, reason)


def say_note(words: str, **facts: float) -> None:
    """Report a note before the work continues; `stop_seconds` says how long this step takes to end when it is asked."""
    send({"event": "note", "words": words, **facts})
    log.info("%s", words)
