"""Launching a step: the seam between the graph and the machines that do the work.

A launcher starts `python -m <module> <arguments>` somewhere and yields the events that the step writes.
`LocalLauncher` does so as a process group of this machine. A step does not know which one it has.
"""

import datetime
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rsft_assets.steps.processes.child import Child, end
from rsft_assets.steps.processes.events import EVENTS_SETTING, follow
from rsft_assets.steps.records.store import HOME_SETTING

Event = dict[str, Any]
_GRACE_SECONDS = 30.0
_LAST_LINES = 15


@dataclass(frozen=True)
class StepCall:
    """One step to run."""

    module: str
    arguments: tuple[str, ...]
    home: Path
    label: str
    """Names the log file."""

    @property
    def command(self) -> str:
        """What a person types to run the same step by hand."""
        quoted = (f"'{word}'" if set(word) & set("|*[] ") else word for word in self.arguments)
        return f"{HOME_SETTING}={self.home} python -m {self.module} {' '.join(quoted)}"


class StepFailed(Exception):
    """A step ended with another status than 0."""

    def __init__(self, call: StepCall, status: int, log_path: Path, message: str) -> None:
        self.call, self.status, self.log_path, self.message = call, status, log_path, message
        super().__init__(
            f"{message or f'exit status {status}'}\n"
            f"command: {call.command}\nlog: {log_path}\nlast lines:\n{last_lines(log_path)}"
        )


class Launcher(Protocol):
    """Runs one step to its end; raises `StepFailed` where that is not a success."""

    def run(self, call: StepCall) -> Iterator[Event]: ...


class LocalLauncher:
    """A step as a child process in a group of its own, so that all of it can be stopped."""

    def run(self, call: StepCall) -> Iterator[Event]:
        stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        log_path = call.home / "logs" / f"{stamp}-{call.label}-{os.getpid()}.log"
        log_path.parent.mkdir(parents=True, exist_ok=True)
        events_path = log_path.with_suffix(".events")
        environment = {
            **os.environ,
            HOME_SETTING: str(call.home),
            EVENTS_SETTING: str(events_path),
            "PYTHONUNBUFFERED": "1",
        }
        with log_path.open("ab") as output:
            process = Child(
                [sys.executable, "-m", call.module, *call.arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
            )
        message = ""
        try:
            for event in follow(process, events_path):
                message = event.get("message", message) if event["event"] == "failed" else message
                yield event
        finally:
            end([process], seconds=_GRACE_SECONDS)
            events_path.unlink(missing_ok=True)
        if process.returncode != 0:
            raise StepFailed(call, process.returncode, log_path, message)


def last_lines(path: Path, count: int = _LAST_LINES) -> str:
    """The end of a log file, indented for a message."""
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 8_192))
        lines = file.read().decode(errors="replace").splitlines()[-count:]
    return "\n".join(f"  {line}" for line in lines)
