"""The owner's side of the workers: processes that judge, watched and killed from outside.

Comes in: chunks of work. Goes out: results, and which piece of work a killed or dead worker was busy with. Works from
any thread, uses no signals in its own process and starts no thread.
"""

import mmap
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from rsft_assets.specs.errors import StepError
from rsft_assets.steps.processes.child import Child
from rsft_assets.steps.processes.cpu_time import cpu_seconds
from rsft_assets.steps.verdicts.verifier.fork_server_wire import BOARD, NOBODY, ORDER, REPLY, WHOLE_NUMBER
from rsft_assets.steps.verdicts.verifier.limits import Limits

Work = tuple[int, str, str, str]
"""Number, kind, gold, text."""
Result = tuple[int, str, str | None, str, float]
"""Number, verdict, extracted, reason, seconds."""

_CHILD = "rsft_assets.steps.verdicts.verifier.fork_server"
_REFUSED_MOST = 10_000
_NAMED_LATE = 0.1
_NUMBER_IN_A_BOX = re.compile(rf"\\boxed\{{{WHOLE_NUMBER.pattern}\}}")
_PACKAGE_ROOT = Path(__file__).resolve().parents[4]


class Worker:
    """One process that judges, and what it has been given."""

    def __init__(self, pid: int, connection: Connection, page: mmap.mmap, *, warm: bool) -> None:
        self.pid = pid
        self.warm = warm
        """Whether it was forked after formulas of every shape were read."""
        self.connection = connection
        self.pending: dict[int, Work] = {}
        """Its unfinished work; less than it was given once the rest was taken back."""
        self.busy = False
        self.sent = 0
        self._born_with = _resident_bytes(pid)
        self._page = page
        self._steps = 0
        self._since = 0.0

    def give(self, work: list[Work], refused: Mapping[bytes, str]) -> None:
        """Hand over a chunk; only to a worker that is not busy, since it would not read and sending could block."""
        BOARD.pack_into(self._page, 0, self._steps, NOBODY, *2 * [cpu_seconds(self.pid)], b"")
        self._since = time.monotonic()
        self.pending = {item[0]: item for item in work}
        self.busy = True
        news = dict(list(refused.items())[self.sent :])
        self.sent = len(refused)
        self.connection.send((news, work))

    def take(self) -> list[Result]:
        """The results that have arrived."""
        finished, results = self.connection.recv()
        self.busy = not finished
        return [result for result in results if self.pending.pop(result[0], None)]

    def over_limit(self, limits: Limits) -> str | None:
        """The limit that the worker is beyond, in the word of `REASONS`."""
        # Read before the board: a step that begins in between must not be charged for the previous one.
        used, now = cpu_seconds(self.pid), time.monotonic()
        steps, _, began, _, _ = self._board()
        if steps != self._steps:
            self._steps, self._since = steps, now
        if used - began > limits.seconds or now - self._since > limits.wall_seconds:
            return "time"
        return "memory" if _resident_bytes(self.pid) > limits.memory_bytes else None

    def is_full(self, limits: Limits) -> bool:
        """Whether its caches take half of its memory limit, which the next answer could then exceed."""
        return 2 * _resident_bytes(self.pid) > limits.memory_bytes + self._born_with

    def busy_with(self) -> tuple[int, bytes, float]:
        """Number of the work at hand, digest of its step, seconds since the step began."""
        _, number, _, _, name = self._board()
        return number, name.rstrip(b"\0") and name, time.monotonic() - self._since

    def named_late(self, limits: Limits) -> bool:
        """Whether its step had used CPU time before the name at hand, which cannot be blamed for all of it then."""
        _, _, began, named, _ = self._board()
        return named - began > _NAMED_LATE * limits.seconds

    def take_back(self) -> list[Work]:
        """All that is pending but the work at hand, for others to do."""
        number = self.busy_with()[0]
        returned = [item for item in self.pending.values() if item[0] != number]
        self.pending = {item[0]: item for item in self.pending.values() if item[0] == number}
        return returned

    def _board(self) -> tuple[int, int, float, float, bytes]:
        return BOARD.unpack_from(self._page, 0)


class WorkerPool:
    """The workers of one verifier, started with the first use, and what they refuse to try again."""

    def __init__(self, size: int, limits: Limits) -> None:
        self.limits = limits
        self.refused: dict[bytes, str] = {}
        self.size = size
        self._fork_server: ForkServer | None = None
        self.workers: list[Worker] = []

    def start(self) -> list[Worker]:
        """All workers, started if need be."""
        self._fork_server = self._fork_server or ForkServer(self.limits)
        while len(self.workers) < self.size:
            self.workers.append(self._fork_server.start())
        return self.workers

    def replace(self, worker: Worker) -> int:
        """A fresh worker in the place of this one; the exit state of the old one."""
        assert self._fork_server
        state = self._fork_server.kill(worker)
        self.workers[self.workers.index(worker)] = self._fork_server.start()
        return state

    def ready(self, worker: Worker, chunk: Sequence[Work]) -> Worker:
        """This worker, or a fresh one if its caches have grown too large or lack the formulas that may be met."""
        assert self._fork_server
        if not worker.warm and any(map(_may_hold_formula, chunk)):
            self._fork_server.warm_up()
        elif not worker.is_full(self.limits):
            return worker
        place = self.workers.index(worker)
        self.replace(worker)
        return self.workers[place]

    def refuse(self, name: bytes, reason: str) -> None:
        """Let no worker try this step again."""
        if name and len(self.refused) < _REFUSED_MOST:
            self.refused[name] = reason

    def replace_busy(self) -> None:
        """Replace workers that still work on what is no longer needed."""
        for worker in [worker for worker in self.workers if worker.busy]:
            self.replace(worker)

    def close(self) -> None:
        """End all of them."""
        for worker in self.workers:
            worker.connection.close()
        if self._fork_server:
            self._fork_server.close()
        self.workers, self._fork_server = [], None


class ForkServer:
    """Starts, replaces and ends workers. They end with it, and it ends with the process that owns it."""

    def __init__(self, limits: Limits) -> None:
        self._warm = False
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = Child(
                [sys.executable, "-m", _CHILD, str(theirs.fileno()), str(limits.memory_bytes)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=_environment(),
            )

    def start(self) -> Worker:
        """A new worker; waits for the imports the first time."""
        ours, theirs = socket.socketpair()
        with theirs, tempfile.TemporaryFile() as file:
            file.truncate(mmap.PAGESIZE)
            pid = self._order(b"F", 0, [theirs.fileno(), file.fileno()])
            page = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        return Worker(pid, Connection(ours.detach()), page, warm=self._warm)

    def warm_up(self) -> None:
        """Read formulas of every shape, once: workers started from now on have met them."""
        if not self._warm:
            self._order(b"W", 0)
            self._warm = True

    def kill(self, worker: Worker) -> int:
        """Kill a worker if it still lives; its exit state as `waitpid` tells it."""
        worker.connection.close()
        return self._order(b"K", worker.pid)

    def close(self) -> None:
        self._control.close()
        self._process.wait()

    def _order(self, command: bytes, pid: int, descriptors: list[int] | None = None) -> int:
        try:
            socket.send_fds(self._control, [ORDER.pack(command, pid)], descriptors or [])
            reply = self._control.recv(REPLY.size, socket.MSG_WAITALL)
        except OSError as error:
            raise self._lost() from error
        if len(reply) < REPLY.size:
            raise self._lost()
        return int(REPLY.unpack(reply)[0])

    def _lost(self) -> StepError:
        self._control.close()
        state = self._process.wait()
        return StepError(
            f"the verifier's process {self._process.pid} ended with state {state}; see its error output above. "
            "If an import failed, reinstall it (pip install --force-reinstall math-verify); else run again"
        )


def _may_hold_formula(work: Work) -> bool:
    """Whether the grammar of formulas will be asked; for whole numbers, also in a box, it is not. Text in square
    brackets is not counted: the grammar is asked for it, too, but it seldom is a formula, and reading it then takes
    0.4 s at most.
    """
    _, kind, gold, text = work
    if kind == "countdown":
        return False
    rest = _NUMBER_IN_A_BOX.sub("", text)
    # Different boxes are read as one formula, a list.
    boxes = set(_NUMBER_IN_A_BOX.findall(text))
    return not WHOLE_NUMBER.fullmatch(gold) or len(boxes) > 1 or "\\" in rest or "$" in rest


def _environment() -> dict[str, str]:
    # Set order enters sympy's results; a fixed seed makes verdicts repeatable.
    paths = [str(_PACKAGE_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONHASHSEED": "0"}


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * mmap.PAGESIZE
    except (OSError, IndexError, ValueError):  # not Linux, or just gone
        return 0
