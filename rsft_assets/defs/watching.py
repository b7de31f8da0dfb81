"""Watchers of a step's events in this process, such as the terminal's progress bars."""

import contextlib
from collections.abc import Callable, Iterator

from rsft_assets.defs.launchers import Event

Watcher = Callable[[Event], None]
_watchers: list[Watcher] = []


def tell(event: Event) -> None:
    """Pass an event on to every watcher."""
    for watcher in _watchers:
        watcher(event)


@contextlib.contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Have `watcher` called with every event of the steps that run inside the block."""
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


def progress_line(event: Event) -> str:
    """One line for logs: done of total, rate, time left, and what the step adds."""
    left = event.get("eta_seconds")
    eta = "" if left is None else f", {left:.0f} s left"
    note = f" {event['note']}" if event.get("note") else ""
    done = f"{event['done']}/{event['total']}" if event["total"] else str(event["done"])
    return f"{event['what']}: {done} {event['unit']}, {event['rate']:.3g}/s{eta}{note}"
