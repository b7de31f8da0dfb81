"""The loop between a stream of work and the workers.

Comes in: tasks, one by one. Goes out: outcomes in the same order. Reads ahead only as far as the workers need, keeps a
text only until it is judged, kills workers that go beyond a limit and gives what they still owed to others.
"""

import logging
import time
from collections import deque
from collections.abc import Iterator
from multiprocessing.connection import wait
from typing import NamedTuple

from rsft_assets.specs.errors import StepError
from rsft_assets.steps.verdicts.verifier.fork_server_wire import NOBODY
from rsft_assets.steps.verdicts.verifier.workers import Work, Worker, WorkerPool

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.05
_STALLED_SECONDS = 0.5
_CHUNK_FIRST, _CHUNK, _CHUNK_MOST = 8, 64, 256
_CHUNK_CHARS = 1_000_000
_YIELDED_AT_ONCE = 512
_UNEXPLAINED_DEATHS = 3


class Task(NamedTuple):
    """One answer on its way in: text, or the reason why it is unparseable without one."""

    kind: str
    gold: str
    text: str | None
    reason: str = ""


class Outcome(NamedTuple):
    """One answer on its way out."""

    verdict: str
    extracted: str | None
    reason: str
    seconds: float


class Judging:
    """One pass over a stream of tasks."""

    def __init__(self, pool: WorkerPool, tasks: Iterator[Task]) -> None:
        self._pool = pool
        self._tasks = enumerate(tasks)
        self._held: Work | None = None
        self._chunk_size = _CHUNK_FIRST
        self._queue: deque[list[Work]] = deque()
        self._outcomes: dict[int, Outcome] = {}
        self._read = 0
        self._yielded = 0
        self._at_end = False
        self._checked = 0.0
        self._deaths = 0

    def run(self) -> Iterator[Outcome]:
        """Every outcome, in the order of the tasks."""
        while not (self._at_end and self._yielded == self._read):
            self._read_ahead()
            self._dispatch()
            for _ in range(_YIELDED_AT_ONCE):
                outcome = self._outcomes.pop(self._yielded, None)
                if outcome is None:
                    break
                self._yielded += 1
                yield outcome
            self._collect()

    def _read_ahead(self) -> None:
        wanted = 2 * self._pool.size
        room = self._pool.limits.waiting_answers
        while not self._at_end and len(self._queue) < wanted and self._read - self._yielded < room:
            if chunk := self._next_chunk():
                self._queue.append(chunk)
            self._chunk_size = min(2 * self._chunk_size, _CHUNK)

    def _next_chunk(self) -> list[Work]:
        """Work that is judged by one worker; ends with the answers to one gold where that is near."""
        chunk: list[Work] = []
        chars = 0
        while work := self._next_work():
            full = len(chunk) >= _CHUNK_MOST or chars >= _CHUNK_CHARS
            if full or (len(chunk) >= self._chunk_size and work[2] != chunk[-1][2]):
                self._held = work
                break
            chunk.append(work)
            chars += len(work[3])
        return chunk

    def _next_work(self) -> Work | None:
        if self._held:
            held, self._held = self._held, None
            return held
        for number, task in self._tasks:
            self._read = number + 1
            if task.text is not None:
                return number, task.kind, task.gold, task.text
            self._outcomes[number] = Outcome("unparseable", None, task.reason, 0.0)
            if not number % _CHUNK_MOST:
                break
        else:
            self._at_end = True
        return None

    def _dispatch(self) -> None:
        if not self._queue:
            return
        for worker in list(self._pool.start()):
            if self._queue and not worker.busy:
                chunk = self._queue.popleft()
                worker = self._pool.ready(worker, chunk)
                try:
                    worker.give(chunk, self._pool.refused)
                except (BrokenPipeError, ConnectionResetError):
                    self._lose(worker, "crash")

    def _collect(self) -> None:
        busy = {worker.connection: worker for worker in self._pool.workers if worker.busy}
        if not busy:
            return
        for connection in wait(list(busy), 0 if self._yielded in self._outcomes else _POLL_SECONDS):
            worker = busy[connection]  # type: ignore[index]
            try:
                for number, verdict, extracted, reason, seconds in worker.take():
                    self._outcomes[number] = Outcome(verdict, extracted, reason, seconds)
            except (EOFError, ConnectionResetError):
                self._lose(worker, "crash")
        if time.monotonic() - self._checked > _POLL_SECONDS:
            self._checked = time.monotonic()
            self._watch()

    def _watch(self) -> None:
        workers = list(self._pool.workers)
        for worker in [worker for worker in workers if worker.busy]:
            if reason := worker.over_limit(self._pool.limits):
                self._lose(worker, reason)
            elif self._someone_idles(workers) and worker.busy_with()[2] > _STALLED_SECONDS:
                self._queue.extendleft([returned] if (returned := worker.take_back()) else [])

    def _someone_idles(self, workers: list[Worker]) -> bool:
        return not self._queue and not all(worker.busy for worker in workers)

    def _lose(self, worker: Worker, reason: str) -> None:
        """Replace a worker; what it was busy with is undecided, the rest goes to others."""
        number, name, seconds = worker.busy_with()
        state = self._pool.replace(worker)
        log.info("worker %d replaced (%s, state %d)", worker.pid, reason, state)
        if number == NOBODY:
            self._deaths += 1
            if self._deaths > _UNEXPLAINED_DEATHS:
                raise StepError(
                    f"{self._deaths} verifier workers died before they began any work, the last with state {state}; "
                    "is the machine out of memory? Use fewer workers or lower Limits.memory_bytes"
                )
        if worker.pending.pop(number, None):
            self._outcomes[number] = Outcome("undecided", None, reason, seconds)
            if reason != "time" or not worker.named_late(self._pool.limits):
                self._pool.refuse(name, reason)
        if worker.pending:
            self._queue.appendleft(list(worker.pending.values()))
