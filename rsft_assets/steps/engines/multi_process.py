"""Several engines behind the face of one: processes of their own, each on its own GPUs, the least busy asked first;
where engines are repeatable, one engine gets the whole of a group.

    with ManyEngines(placement, model) as engine:      # what `open_engine` gives for `engines = 4`
        engine.load(checkpoint_folder)                 # into each of them
        for completion in engine.generate(requests): ...

An engine that dies or fails ends the generation with a `StepError` and all of them; `load` starts them anew.
"""

import os
import queue
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.models import Model
from rsft_assets.specs.placement import Placement
from rsft_assets.steps.engines.chat import ModelEngine
from rsft_assets.steps.engines.opening import repeatable_engine
from rsft_assets.steps.engines.protocol import Completion, Request
from rsft_assets.steps.processes.child import end, spawn_context

_MOST_EACH = 2_048
"""Requests that one engine holds; above what any engine reads ahead, for it would wait for the rest."""
_LOOK_EVERY_SECONDS = 1.0
_LEAVING_SECONDS = 30.0


class ManyEngines(ModelEngine):
    """See `Engine`."""

    def __init__(self, placement: Placement, model: Model | None) -> None:
        super().__init__(model)
        self.count = placement.engines
        self.fingerprint, self.description = "", {}  # type: tuple[str, dict[str, Any]]
        self._placement, self._repeatable = placement, bool(repeatable_engine(placement))
        self._processes: list[Any] = []
        self._asked: list[Any] = []
        self._answers: Any = None

    def load(self, model_folder: Path) -> None:
        self._read_tokenizer(model_folder)
        if not self._processes:
            self._start()
        for asked in self._asked:
            asked.put(model_folder)
        for _ in range(self.count):
            _, (self.fingerprint, description) = self._next("loaded")
            self.description = {**description, "engines": self.count}

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        if not self._processes:
            raise StepError("the engines have no model yet; call load first")
        finished = False
        try:
            yield from self._shared_out(iter(requests))
            finished = True
        finally:
            if not finished:
                # They are in the middle of requests that nobody waits for.
                self.close()

    def _shared_out(self, stream: Iterator[Request]) -> Iterator[Completion]:
        holding = dict.fromkeys(range(self.count), 0)
        exhausted, least, group = False, 0, None
        while holding:
            while not exhausted and min(holding.values()) < _MOST_EACH:
                request = next(stream, None)
                if request is None:
                    exhausted = True
                    for asked in self._asked:
                        asked.put(None)
                    break
                if not (self._repeatable and request.group == group):
                    least, group = min(holding, key=lambda number: holding[number]), request.group
                holding[least] += 1
                self._asked[least].put(request)
            number, completion = self._next("done", "end")
            if completion is None:
                del holding[number]
            else:
                holding[number] -= 1
                yield completion

    def _start(self) -> None:
        context = spawn_context()
        self._answers = context.Queue()
        self._asked = [context.Queue() for _ in range(self.count)]
        for number, asked in enumerate(self._asked):
            process = context.Process(target=_serve, args=(number, self._placement, self._spec, asked, self._answers))
            process.start()
            self._processes.append(process)

    def _next(self, *expected: str) -> tuple[int, Any]:
        """The next message of any engine; one that failed or died is an error, and the end of all."""
        while True:
            try:
                what, number, value = self._answers.get(timeout=_LOOK_EVERY_SECONDS)
            except queue.Empty:
                dead = [n for n, process in enumerate(self._processes) if process.exitcode is not None]
                if not dead:
                    continue
                status = self._processes[dead[0]].exitcode
                what, number = "failed", dead[0]
                value = f"died with exit status {status}; finished answers are kept, run it again"
            if what == "failed":
                self.close()
                raise StepError(f"engine {number + 1} of {self.count}: {value}")
            if what in expected:
                return number, value

    def _end(self, *, at_once: bool) -> None:
        for asked in () if at_once else self._asked:
            asked.put("leave")
        end(self._processes, seconds=_LEAVING_SECONDS, ask=at_once)
        for waiting in (*self._asked, self._answers):
            if waiting is not None:
                waiting.cancel_join_thread()
                waiting.close()
        self._processes, self._asked, self._answers = [], [], None

    def close(self) -> None:
        self._end(at_once=True)

    def __exit__(self, *problem: object) -> None:
        self._end(at_once=problem[0] is not None)


def _serve(number: int, placement: Placement, model: Model | None, asked: Any, answers: Any) -> None:
    """The body of one engine process: a folder loads it, requests up to None are answered, "leave" ends it."""
    from rsft_assets.steps.engines.opening import open_engine

    try:
        if placement.device != "cpu":
            _own_gpus(number, placement.tensor_parallel)
        with open_engine(replace(placement, engines=1), model) as engine:
            while (first := asked.get()) != "leave":
                if isinstance(first, Path):
                    engine.load(first)
                    answers.put(("loaded", number, (engine.fingerprint, engine.description)))
                    continue
                for completion in engine.generate(_from(first, asked)):
                    answers.put(("done", number, completion))
                answers.put(("end", number, None))
    except StepError as error:
        answers.put(("failed", number, str(error)))


def _from(first: Request | None, asked: Any) -> Iterator[Request]:
    while first is not None:
        yield first
        first = asked.get()


def _own_gpus(number: int, width: int) -> None:
    """Show this process its own GPUs only; of those that the parent was shown, if it was shown some."""
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    mine = range(number * width, (number + 1) * width)
    names = shown.split(",") if shown else [str(place) for place in range(mine.stop)]
    if mine.stop > len(names):
        raise StepError(f"engine {number + 1} needs GPUs {mine.start}-{mine.stop - 1}, but {len(names)} are visible")
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(names[place] for place in mine)
