"""The launcher of a Ray cluster: its capabilities, and a step as a driver process of this machine.

The driver is a child process that owns the pieces: Ray ends a process whose cluster's head is gone. It is stopped,
and ends with this process, like any step; its pieces end with it.
"""

import functools
import importlib.util
import time
from collections.abc import Iterator
from pathlib import Path

from rsft_assets.defs.launchers import Event, LocalLauncher, StepCall, StepFailed
from rsft_assets.specs.errors import StepError
from rsft_assets.specs.placement import Placement
from rsft_assets.steps.processes.hardware import Capabilities

DRIVER = "rsft_assets.defs.on_ray.driver"
_GRACE_SECONDS = 60.0
"""The driver gives the steps on the nodes their own time to save."""
_ASK_AGAIN_SECONDS = 120


class RayLauncher:
    """A step in pieces, each a task on one node that runs the local launcher there."""

    def __init__(self, placement: Placement) -> None:
        if importlib.util.find_spec("ray") is None:
            raise StepError("launcher 'ray' needs the package ray: pip install 'rsft_assets[ray]'")
        self.placement = placement

    def capabilities(self, home: Path) -> Capabilities:
        asked = Placement(ray_address=self.placement.ray_address)
        return _capabilities(asked, home.absolute(), int(time.monotonic() // _ASK_AGAIN_SECONDS))

    def run(self, call: StepCall) -> Iterator[Event]:
        options = ("--module", call.module, "--label", call.label, "--", *call.arguments)
        yield from _drive(self.placement, call, options)


@functools.lru_cache(maxsize=16)
def _capabilities(placement: Placement, home: Path, _: int) -> Capabilities:
    call = StepCall(DRIVER, (), home, "ray_nodes")
    [event] = [event for event in _drive(placement, call, ("--look",)) if event["event"] == "capabilities"]
    offers = event["offers"]
    pairs = {name: tuple((a, b) for a, b in offers[name]) for name in ("gpus", "node_sizes")}
    lists = {**pairs, "machines": tuple(offers["machines"])}
    return Capabilities(**{**offers, **lists})


def _drive(placement: Placement, call: StepCall, options: tuple[str, ...]) -> Iterator[Event]:
    """The events of a driver process; its failure is a failure of `call`."""
    address = placement.ray_address
    arguments = ("--address", address, "--pieces", str(placement.ray_pieces), "--cpus", str(placement.ray_cpus))
    driver = StepCall(DRIVER, (*arguments, *options), call.home.absolute(), call.label)
    try:
        yield from LocalLauncher(grace=_GRACE_SECONDS).run(driver)
    except StepFailed as error:
        if call.module == DRIVER:
            raise StepError(error.message or str(error)) from error
        raise StepFailed(call, error.status, error.log_path, error.message) from error
