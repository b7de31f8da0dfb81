"""What runs on a node: one piece, with the local launcher."""

import socket
from collections.abc import Iterator, Mapping

from rsft_assets.defs.launchers import Event, LocalLauncher, StepCall, StepFailed

BEGAN, FAILED = "began", "piece failed"


def run_piece(call: StepCall, environment: Mapping[str, str | None]) -> Iterator[Event]:
    """The events of a step on this node. A failure is an event too: the exception would not survive the transport."""
    yield {"event": BEGAN, "node": socket.gethostname()}
    try:
        yield from LocalLauncher(environment).run(call)
    except StepFailed as error:
        yield {"event": FAILED, "status": error.status, "words": str(error)}
