"""Programs and their inputs in, outputs out: the client of the sandbox servers.

    with SandboxPool(workers=2) as sandbox:
        for outcome in sandbox.run(programs): ...

Each worker drives a server process of its own, which gets no environment. The server ends a program at its limits,
which are of CPU time, so that outcomes do not depend on the load. A server that does not answer in time is killed with
its whole process group and replaced; the program that was in it counts as timed out.
"""

import contextlib
import functools
import json
import logging
import os
import select
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from rsft_assets.steps.processes.child import Child, end
from rsft_assets.steps.processes.closing import Closing
from rsft_assets.steps.scores.sandbox.isolation import supported

log = logging.getLogger(__name__)
_SERVER = Path(__file__).with_name("server.py")
_SETUP_SECONDS = 30.0
_GRACE_SECONDS = 5.0
NO_ISOLATION = "no-isolation"


@dataclass(frozen=True, kw_only=True)
class CodeLimits:
    """What one test of one program may cost."""

    seconds: float = 6.0
    """CPU time of the program and its threads."""
    wall_seconds: float = 300.0
    """Far above `seconds`, so that a busy machine does not reach it and a program that waits for ever does."""
    memory_bytes: int = 1 << 30
    output_bytes: int = 16 << 20
    scratch_bytes: int = 64 << 20


@dataclass(frozen=True)
class Case:
    """What a program gets, and what it should answer."""

    given: str
    expected: str


@dataclass(frozen=True)
class Program:
    """One program and its tests; `accept(output, expected)` judges outside the sandbox."""

    code: str
    tests: tuple[Case, ...]
    accept: Callable[[str, str], bool]
    entry: str | None = None
    """Function to call with the input's lines as JSON arguments; None: a program that reads standard input."""
    bare: bool = False
    """Run as the paper's authors do: nothing is defined, `entry` must be there, and the streams are texts."""
    seconds_of_all: float | None = None
    """CPU time of all tests together, in place of the limit of one."""

    def limits(self, of_one: CodeLimits) -> CodeLimits:
        """What one of its tests may cost."""
        if (seconds := self.seconds_of_all) is None:
            return of_one
        return replace(of_one, seconds=seconds, wall_seconds=max(of_one.wall_seconds, 2 * seconds))


@dataclass(frozen=True)
class Outcome:
    """How far a program came; `status` is passed, wrong, what stopped it (time, memory, output, error, killed), or
    no-isolation where no sandbox could be opened: it was then not run.
    """

    status: str
    tests_passed: int
    detail: str = ""


class SandboxPool(Closing):
    """A context manager; leaving it ends the servers and all that is in their sandboxes."""

    def __init__(self, *, workers: int = 2, limits: CodeLimits = CodeLimits()) -> None:
        self.limits, self._workers = limits, workers
        self._idle: SimpleQueue[SandboxServer] = SimpleQueue()
        self._all = [SandboxServer(limits) for _ in range(workers)]
        for server in self._all:
            self._idle.put(server)
        self._pool = ThreadPoolExecutor(workers)

    def run(self, programs: Iterable[Program]) -> Iterator[Outcome]:
        """One outcome for each program, in order, reading a bounded number ahead."""
        waiting: deque[Future[Outcome]] = deque()
        for program in programs:
            waiting.append(self._pool.submit(self._one, program))
            if len(waiting) > 4 * self._workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _one(self, program: Program) -> Outcome:
        server = self._idle.get()
        try:
            return server.judge(program)
        finally:
            self._idle.put(server)

    def close(self) -> None:
        for server in self._all:
            server.end()
        self._pool.shutdown(cancel_futures=True)


class SandboxServer:
    """One server process, started when it is needed."""

    def __init__(self, limits: CodeLimits) -> None:
        self.limits = limits
        self._process: Child | None = None
        self._number = 0

    def judge(self, program: Program) -> Outcome:
        """Run tests until one fails."""
        limits, spent = program.limits(self.limits), 0.0
        job: dict[str, Any] = {"code": program.code, "kind": "stdin" if program.entry is None else "function"}
        job |= {"entry": program.entry, "bare": program.bare, "limits": asdict(limits)}
        opened = self._open(job)
        if opened is None:
            # The program before ended its sandbox in the middle of a frame: a fresh server knows nothing of it.
            self.end()
            opened = self._open(job)
        if opened is None or opened["status"] != "ready":
            self.end()
            return Outcome(NO_ISOLATION, 0, (opened or {}).get("stderr") or "the sandbox did not open")
        _tell_what_is_missing(tuple(opened["without"]))
        passed = 0
        for test in program.tests:
            asked = {"input": test.given, "seconds": limits.seconds - spent}
            answer = self._ask(asked, limits.wall_seconds + _GRACE_SECONDS)
            if answer is None:
                self.end()
                return Outcome("time", passed, "the sandbox had to be killed")
            if answer["status"] != "ok":
                detail = answer["stderr"].strip().rpartition("\n")[2][:200]
                return self._left(Outcome(answer["status"], passed, detail))
            spent += answer["seconds"] if program.seconds_of_all else 0.0
            try:
                right = program.accept(answer["output"], test.expected)
            except BaseException:
                self.end()  # the next program must not find this one's sandbox
                raise
            if not right:
                return self._left(Outcome("wrong", passed))
            passed += 1
        return self._left(Outcome("passed", passed))

    def _open(self, job: dict[str, Any]) -> dict[str, Any] | None:
        self._number += 1
        opened = self._ask({**job, "number": self._number}, _SETUP_SECONDS)
        while opened is not None and opened.get("number") != self._number:
            # The program before ended its sandbox after its last answer.
            opened = self._answer(_SETUP_SECONDS)
        return opened

    def _left(self, outcome: Outcome) -> Outcome:
        self._send({"end": True})
        return outcome

    def _ask(self, value: dict[str, Any], seconds: float) -> dict[str, Any] | None:
        """The answer to a frame, None where none came in time or the server died."""
        if self._process is None:
            self._process = Child(
                [sys.executable, "-I", str(_SERVER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                # Else each thread of a program may reserve 64 MB of its address space for itself.
                env={"MALLOC_ARENA_MAX": "2"},
                cwd="/",
            )
        return self._answer(seconds) if self._send(value) else None

    def _answer(self, seconds: float) -> dict[str, Any] | None:
        deadline = time.monotonic() + seconds
        header = self._read(4, deadline)
        body = self._read(struct.unpack(">I", header)[0], deadline) if header else None
        answer: dict[str, Any] | None = json.loads(body) if body else None
        return answer

    def _send(self, value: dict[str, Any]) -> bool:
        if self._process is None or self._process.stdin is None:
            return False
        data = json.dumps(value).encode()
        try:
            self._process.stdin.write(struct.pack(">I", len(data)) + data)
            self._process.stdin.flush()
        except (BrokenPipeError, OSError):
            return False
        return True

    def _read(self, size: int, deadline: float) -> bytes | None:
        assert self._process is not None and self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        data = bytearray()
        while len(data) < size:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                return None
            part = os.read(descriptor, min(size - len(data), 1 << 20))
            if not part:
                return None
            data += part
        return bytes(data)

    def end(self) -> None:
        """Kill the server and, since its sandboxes end with it, everything inside."""
        if self._process is not None:
            with contextlib.suppress(BrokenPipeError), self._process:
                end([self._process], seconds=0.0)
            self._process = None


@functools.cache
def _tell_what_is_missing(without: tuple[str, ...]) -> None:
    if without:
        log.warning("programs are isolated, but on this machine without %s", " and ".join(without))


def isolation_problem() -> str:
    """Why programs cannot be isolated here, found by trying once; empty where they can."""
    return supported() or _found_by_trying()


@functools.cache
def _found_by_trying() -> str:
    with SandboxPool(workers=1) as pool:
        [outcome] = pool.run([Program("print(1)", (Case("", "1"),), lambda a, b: a.strip() == b)])
    if outcome.status == NO_ISOLATION:
        return f"no isolation: programs cannot be isolated here ({outcome.detail}); allow unprivileged user namespaces"
    if outcome.status != "passed":
        return f"no isolation: the sandbox does not run programs ({outcome.status}: {outcome.detail})"
    return ""
