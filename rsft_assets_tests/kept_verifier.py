"""One fork server for all verifiers of a test process: each of its own would import sympy first, two seconds."""

from rsft_assets.steps.verdicts.verifier.limits import Limits
from rsft_assets.steps.verdicts.verifier.workers import ForkServer, Worker

_kept: dict[int, "KeptForkServer"] = {}


class KeptForkServer(ForkServer):
    """Left running when a verifier closes; only the verifier's workers end."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self._living: list[Worker] = []

    def start(self) -> Worker:
        self._living.append(worker := super().start())
        return worker

    def kill(self, worker: Worker) -> int:
        self._living.remove(worker)
        return super().kill(worker)

    def close(self) -> None:
        for worker in list(self._living):
            self.kill(worker)


def kept_fork_server(limits: Limits) -> KeptForkServer:
    """In the place of `workers.ForkServer`: the one that is at work already, if there is one."""
    kept = _kept.get(limits.memory_bytes)
    if kept is None or kept._process.poll() is not None:
        kept = _kept[limits.memory_bytes] = KeptForkServer(limits)
    return kept
