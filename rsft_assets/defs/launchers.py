"""Launching a step: the interface between the asset graph and the machines that run it.

A launcher starts `python -m <module> <arguments>` somewhere and yields the events that the step writes.
`LocalLauncher` uses a process group of this machine, `on_ray` the nodes of a Ray cluster. Steps do not depend on the
launcher.
"""

import datetime
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.placement import FIELDS_SETTING, Placement, load_placement
from rsft_assets.specs.study import Study
from rsft_assets.steps.processes.child import Child, end
from rsft_assets.steps.processes.events import EVENTS_SETTING, follow
from rsft_assets.steps.processes.hardware import Capabilities, refuse_without_gpu, this_machine
from rsft_assets.steps.records.store import HOME_SETTING, Store

Event = dict[str, Any]
_GRACE_SECONDS = 30.0
_LAST_LINES = 15
ELSEWHERE = ("responses", "verdicts", "checkpoints", "scores")
"""Stages that another launcher may take to other machines. The rest fetches, or reads and writes files for minutes at
most, and stays on this machine.
"""


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
        fields = f"{FIELDS_SETTING}='{text}' " if (text := os.environ.get(FIELDS_SETTING)) else ""
        return f"{HOME_SETTING}={self.home} {fields}python -m {self.module} {' '.join(quoted)}"


class StepFailed(Exception):
    """A step ended with another status than 0."""

    def __init__(self, call: StepCall, status: int, log_path: Path, message: str) -> None:
        self.call, self.status, self.log_path, self.message = call, status, log_path, message
        super().__init__(
            f"{message or f'exit status {status}'}\n"
            f"command: {call.command}\nlog: {log_path}\nlast lines:\n{last_lines(log_path)}"
        )


class Launcher(Protocol):
    """Starts steps somewhere."""

    def capabilities(self, home: Path) -> Capabilities:
        """The devices and memory of a step that uses this home."""

    def run(self, call: StepCall) -> Iterator[Event]:
        """Run one step to its end; raises `StepFailed` where that is not a success."""


class LocalLauncher:
    """A step as a child process in a group of its own, so that all of it can be stopped."""

    def __init__(self, environment: Mapping[str, str | None] | None = None, grace: float = _GRACE_SECONDS) -> None:
        """`environment` is set over this process's for the step, or unset where None; a step that is asked to end is
        killed after `grace` seconds, or twice those that it said it needs.
        """
        self.environment, self.grace = environment or {}, grace

    def capabilities(self, home: Path) -> Capabilities:
        return this_machine()

    def run(self, call: StepCall) -> Iterator[Event]:
        stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        log_path = call.home / "logs" / f"{stamp}-{call.label}-{os.getpid()}.log"
        log_path.parent.mkdir(parents=True, exist_ok=True)
        events_path = log_path.with_suffix(".events")
        environment = {
            **{name: value for name, value in {**os.environ, **self.environment}.items() if value is not None},
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
        message, grace = "", self.grace
        try:
            for event in follow(process, events_path):
                grace = max(grace, 2 * event.get("stop_seconds", 0.0))
                message = event.get("message", message) if event["event"] == "failed" else message
                yield event
        finally:
            end([process], seconds=grace)
            events_path.unlink(missing_ok=True)
        if process.returncode != 0:
            raise StepFailed(call, process.returncode, log_path, message)


def _ray_launcher(placement: Placement) -> Launcher:
    from rsft_assets.defs.on_ray.launcher import RayLauncher

    return RayLauncher(placement)


LAUNCHERS: dict[str, Callable[[Placement], Launcher]] = {"local": lambda _: LocalLauncher(), "ray": _ray_launcher}
"""`Placement.launcher` -> what makes it."""


def capabilities_of(placement: Placement, home: Path) -> Capabilities:
    """What the launcher of a placement offers; a `StepError` if its steps cannot reach this home."""
    there = LAUNCHERS[placement.launcher](placement).capabilities(home)
    if not there.home_visible:
        raise StepError(f"{there.place} does not see {HOME_SETTING}={home}; name a folder that is shared with it")
    return there


def placement_of(study: Study, ref: Ref) -> Placement:
    """The placement of the model that a stage runs: a base model, or a pool's teacher."""
    if ref.stage == "responses":
        return load_placement(study.get("pools", ref.name).teacher.name)
    placement = load_placement(ref.name if ref.stage in ("base_models", "checkpoints", "scores") else "")
    return placement if ref.stage in ELSEWHERE else here(placement)


def here(placement: Placement) -> Placement:
    """The same on this machine."""
    return replace(placement, launcher="local")


def refuse_what_cannot_run(study: Study, store: Store, refs: Iterable[Ref]) -> None:
    """Refuse before any work where something needs a GPU, or a number of cores or GPUs, that its launcher lacks."""
    # The last step of each run: a run may be adopted and step 0 is the base model, which need none.
    for ref in {(ref.asset, ref.run): ref for ref in sorted(refs, key=_step_of)}.values():
        placement = placement_of(study, ref)
        there = capabilities_of(placement, store.home)
        refuse_without_gpu(study, ref, placement, there)
        if there.node_sizes:
            from rsft_assets.defs.on_ray.pieces import capacity, gpus_of

            capacity(there.node_sizes, gpus_of(study, ref, placement), placement.ray_cpus)


def _step_of(ref: Ref) -> int:
    return ref.step if ref.stage in ("checkpoints", "scores") else 0


def launch(placement: Placement, call: StepCall) -> Iterator[Event]:
    """Run one step with the launcher of a placement."""
    return LAUNCHERS[placement.launcher](placement).run(call)


def last_lines(path: Path) -> str:
    """The end of a log file, indented for a message."""
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 8_192))
        lines = file.read().decode(errors="replace").splitlines()[-_LAST_LINES:]
    return "\n".join(f"  {line}" for line in lines)
