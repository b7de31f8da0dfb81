"""One fork server for all verifiers of a test process: each of its own would import sympy first, two seconds."""

from rsft_assets.steps.verdicts.verifier.limits import Limits
from rsft_assets.steps.verdicts.verifier.workers import ForkServer

_kept: dict[int, "KeptForkServer"] = {}


class KeptForkServer(ForkServer):
    """Left running when a verifier closes; the verifier's workers end, since their connections do."""

    def close(self) -> None:
        """Nothing: the next verifier takes it over."""


def kept_fork_server(limits: Limits) -> KeptForkServer:
    """In the place of `workers.ForkServer`: the one that is at work already, if there is one."""
    kept = _kept.get(limits.memory_bytes)
    if kept is None or kept._process.poll() is not None:
        kept = _kept[limits.memory_bytes] = KeptForkServer(limits)
    return kept
