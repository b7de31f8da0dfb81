"""What runs on a node: one piece, with the local launcher."""

import socket
from collections.abc import Iterator, Mapping

import ray

from rsft_assets.defs.launchers import Event, LocalLauncher, StepCall, StepFailed
from rsft_assets.defs.on_ray.probe import code_digest
from rsft_assets.specs.errors import lost_home

BEGAN, FAILED = "began", "piece failed"


def run_piece(call: StepCall, environment: Mapping[str, str | None], code: str) -> Iterator[Event]:
    """The events of a step on this node. A failure is an event too: the exception would not survive the transport."""
    yield {"event": BEGAN, "node": socket.gethostname(), "id": ray.get_runtime_context().get_node_id()}
    if (mine := code_digest()) != code:
        # The node has joined since the others were asked.
        problem = f"its rsft_assets is of other code ({mine or 'none'}, the driver's {code}); install the same version"
        yield {"event": FAILED, "status": 1, "words": problem}
        return
    try:
        yield from LocalLauncher(environment).run(call)
    except StepFailed as error:
        yield {"event": FAILED, "status": error.status, "words": str(error)}
    except OSError as error:
        # Its log and its events are there, too.
        if not (problem := lost_home(call.home, error)):
            raise
        yield {"event": FAILED, "status": 1, "words": problem}
