"""The child side of the workers: one process that has everything imported forks the processes that judge.

Comes in over a socket: orders to fork (with the two descriptors of the new worker) or to kill one. Goes out: process
ids and exit states. Run by `workers.ForkServer` as `python -m ….fork_server FD MEMORY_BYTES`.

Formulas of every shape are not read until an order asks for it: that takes three seconds, and where all answers are
numbers it is not needed.

A replacement for a killed worker costs a fork, not the import of sympy. The server ends when its socket closes, also
where its owner was killed with -9, and not with the thread that started it; the workers end with the server.

Why not multiprocessing's forkserver (tried with Python 3.11): its workers keep it alive, so that a busy one outlived a
killed owner; each imports the caller's main module again (95 ms to replace one under `python -m`, ours 6 ms), which
fails in a script without a main guard; PYTHONHASHSEED would have to be set in the owner; it hides failed imports.
"""

import gc
import logging
import mmap
import os
import resource
import signal
import socket
import sys
import time
import traceback
from multiprocessing.connection import Connection

from rsft_assets.steps.processes.parent_death import end_with_parent
from rsft_assets.steps.verdicts.verifier.comparisons import quicken
from rsft_assets.steps.verdicts.verifier.countdown import judge_countdown
from rsft_assets.steps.verdicts.verifier.fork_server_wire import BOARD, ORDER, REPLY
from rsft_assets.steps.verdicts.verifier.math_answers import CANDIDATE, MathJudge
from rsft_assets.steps.verdicts.verifier.memory_errors import Undecided, let_through
from rsft_assets.steps.verdicts.verifier.warmup import warm_up

_FLUSH_SECONDS = 0.25


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    memory_bytes = int(sys.argv[2])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.disable(logging.CRITICAL)
    quicken()
    let_through()
    MathJudge().judge("3", "So the answer is 4.")
    _keep_shared()
    workers: set[int] = set()
    while True:
        order, descriptors, _, _ = socket.recv_fds(control, ORDER.size, 2)
        if len(order) < ORDER.size:
            break
        command, pid = ORDER.unpack(order)
        if command == b"F":
            answer = _fork(control, descriptors, memory_bytes)
            workers.add(answer)
        elif command == b"K":
            workers.discard(pid)
            answer = _kill(pid)
        else:
            warm_up(MathJudge())
            _keep_shared()
            answer = 0
        control.sendall(REPLY.pack(answer))
    # Their processor time counts as the owner's only if they are waited for.
    for worker in workers:
        _kill(worker)


def _keep_shared() -> None:
    """Collecting later would touch, and so copy, pages that all workers share."""
    gc.collect()
    gc.freeze()


def _fork(control: socket.socket, descriptors: list[int], memory_bytes: int) -> int:
    server = os.getpid()
    pid = os.fork()
    if pid == 0:
        control.close()
        end_with_parent(server)
        resource.setrlimit(resource.RLIMIT_AS, (2 * memory_bytes + (2 << 30),) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            _serve(Connection(descriptors[0]), mmap.mmap(descriptors[1], mmap.PAGESIZE))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    for descriptor in descriptors:
        os.close(descriptor)
    return pid


def _kill(pid: int) -> int:
    os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


class _Board:
    """Announces each step on the shared page and refuses what once reached a limit."""

    def __init__(self, page: mmap.mmap) -> None:
        self._page = page
        self._steps = 0
        self._began = 0.0
        self.number = 0
        self.refused: dict[bytes, str] = {}

    def announce(self, step: int, name: bytes) -> None:
        if name in self.refused:
            raise Undecided(self.refused[name])
        now = time.process_time()
        # A candidate is part of reading its answer: it is named, but starts no clock.
        if step != CANDIDATE:
            self._steps += 1
            self._began = now
        BOARD.pack_into(self._page, 0, self._steps, self.number, self._began, now, name)


def _serve(connection: Connection, page: mmap.mmap) -> None:
    board = _Board(page)
    judge = MathJudge(board.announce)
    while True:
        refused, work = connection.recv()
        board.refused.update(refused)
        done: list[tuple[int, str, str | None, str, float]] = []
        flushed = time.perf_counter()
        for board.number, kind, gold, text in work:
            began = time.perf_counter()
            if began - flushed > _FLUSH_SECONDS and done:
                connection.send((False, done))
                done, flushed = [], began
            verdict, extracted, reason = _decide(judge, board, kind, gold, text)
            done.append((board.number, verdict, extracted, reason, time.perf_counter() - began))
        connection.send((True, done))


def _decide(judge: MathJudge, board: _Board, kind: str, gold: str, text: str) -> tuple[str, str | None, str]:
    try:
        if kind == "countdown":
            board.announce(0, b"")
            return judge_countdown(gold, text)
        return judge.judge(gold, text)
    except Undecided as undecided:
        return "undecided", None, str(undecided)
    except MemoryError:
        return "undecided", None, "memory"


if __name__ == "__main__":
    main()
