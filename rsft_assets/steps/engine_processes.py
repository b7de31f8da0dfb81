"""Several engines at once: processes of their own, each on its own GPUs, that pull requests from one queue.

    with EngineProcesses(placement, origin) as engines:
        for completion in engines.generate(requests): ...

An engine that dies stops the generation with a `StepError`; what was finished is with the caller already.
A process that loses its parent ends itself.
"""

import logging
import multiprocessing
import os
import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.hub import Hub
from rsft_assets.specs.placement import Placement
from rsft_assets.specs.responses import Sampling
from rsft_assets.steps.engines.chat import load_tokenizer, render_chat
from rsft_assets.steps.engines.protocol import Completion, Request
from rsft_assets.steps.hub import model_folder

log = logging.getLogger(__name__)
_WAITING_PER_ENGINE = 512
_LOOK_EVERY_SECONDS = 1.0


class EngineProcesses:
    """`placement.engines` processes, each with one loaded engine."""

    def __init__(self, placement: Placement, origin: Hub) -> None:
        self.count = placement.engines
        self._placement, self._origin = placement, origin
        self._tokenizer = load_tokenizer(model_folder(origin), remote_code=False)
        context = multiprocessing.get_context("spawn")
        self._asked: Any = context.Queue(maxsize=_WAITING_PER_ENGINE * self.count)
        self._answers: Any = context.Queue()
        self._processes: list[Any] = [
            context.Process(target=_serve, args=(number, placement, origin, self._asked, self._answers), daemon=False)
            for number in range(self.count)
        ]
        self._ended: set[int] = set()
        self._feeding_error: list[BaseException] = []
        self._closing = threading.Event()
        self.fingerprint, self.description = "", {}  # type: tuple[str, dict[str, Any]]

    def __enter__(self) -> Self:
        for process in self._processes:
            process.start()
        for _ in self._processes:
            _, number, (self.fingerprint, self.description) = self._next("ready")
            log.info("engine %d of %d is ready", number + 1, self.count)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        for process in self._processes:
            if process.is_alive() and kind is not None:
                process.terminate()
            process.join()
        for waiting in (self._asked, self._answers):
            waiting.cancel_join_thread()
            waiting.close()

    def render(self, turns: list[dict[str, str]], sampling: Sampling) -> str:
        """A prompt, as every engine's tokenizer writes it."""
        return render_chat(self._tokenizer, turns, thinking=sampling.thinking, drop_system=False)

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Completions as they finish, from whichever engine; may be used once."""
        threading.Thread(target=self._feed, args=(requests,), daemon=True).start()
        while len(self._ended) < self.count:
            what, number, value = self._next("done", "end")
            if what == "end":
                self._ended.add(number)
            else:
                yield value
        if self._feeding_error:
            raise self._feeding_error[0]

    def _feed(self, requests: Iterable[Request]) -> None:
        try:
            for request in requests:
                self._put(request)
        except BaseException as error:
            self._feeding_error.append(error)
        for _ in self._processes:
            self._put(None)

    def _put(self, request: Request | None) -> None:
        while not self._closing.is_set():
            try:
                self._asked.put(request, timeout=_LOOK_EVERY_SECONDS)
                return
            except queue.Full:
                continue

    def _next(self, *expected: str) -> tuple[str, int, Any]:
        """The next message of any engine; a dead or failed one is an error."""
        while True:
            try:
                message: tuple[str, int, Any] = self._answers.get(timeout=_LOOK_EVERY_SECONDS)
            except queue.Empty:
                self._check_alive()
                continue
            if message[0] == "failed":
                raise StepError(f"engine {message[1] + 1} of {self.count}: {message[2]}")
            if message[0] in expected:
                return message

    def _check_alive(self) -> None:
        for number, process in enumerate(self._processes):
            if process.exitcode is not None and number not in self._ended and process.exitcode != 0:
                raise StepError(
                    f"engine {number + 1} of {self.count} died with exit status {process.exitcode}; finished responses "
                    "are kept, run it again to go on"
                )


def _serve(number: int, placement: Placement, origin: Hub, asked: Any, answers: Any) -> None:
    """The body of one engine process."""
    from rsft_assets.steps.model_teaching import open_loaded

    end_with_parent_process()
    try:
        if placement.device != "cpu":
            own_gpus(number, placement.tensor_parallel)
        with open_loaded(replace(placement, engines=1), origin) as engine:
            answers.put(("ready", number, (engine.fingerprint, engine.description)))
            for completion in engine.generate(iter(asked.get, None)):
                answers.put(("done", number, completion))
        answers.put(("end", number, None))
    except StepError as error:
        answers.put(("failed", number, str(error)))


def own_gpus(number: int, width: int) -> None:
    """Show this process its own GPUs only; of those that the parent was shown, if it was shown some."""
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    mine = range(number * width, (number + 1) * width)
    names = shown.split(",") if shown else [str(place) for place in range(mine.stop)]
    if mine.stop > len(names):
        raise StepError(f"engine {number + 1} needs GPUs {mine.start}-{mine.stop - 1}, but {len(names)} are visible")
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(names[place] for place in mine)


def end_with_parent_process() -> None:
    parent = multiprocessing.parent_process()

    def wait() -> None:
        assert parent is not None
        parent.join()
        os._exit(1)

    if parent is not None:
        threading.Thread(target=wait, daemon=True).start()
