"""A model as teacher: the engine that its placement names, or several of them.

The first prompt is shown in full before anything is loaded or drawn.
"""

import contextlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from rsft_assets.specs.fingerprint import SHORT
from rsft_assets.specs.hub import Hub
from rsft_assets.specs.placement import load_placement
from rsft_assets.specs.responses import Pool, Sampling
from rsft_assets.steps.engines.chat import render_chat
from rsft_assets.steps.engines.opening import engine_kind, open_engine
from rsft_assets.steps.engines.protocol import Completion, Engine, Request
from rsft_assets.steps.processes.events import say_note
from rsft_assets.steps.records.hub import model_folder
from rsft_assets.steps.records.tokenizers import load_tokenizer
from rsft_assets.steps.responses.teaching import Asked, Teaching, response_row, sample_seed


@contextlib.contextmanager
def open_model_teaching(pool: Pool, origin: Hub, first: Asked) -> Iterator[Teaching]:
    """The teacher model, loaded; `first` is what it will be asked first."""
    placement = load_placement(pool.teacher.name)
    served = engine_kind(placement) == "endpoint"
    _show_prompt(pool, origin, first, served=served)
    # A server has its model already, under the name of the repository.
    folder = Path(origin.repo).expanduser() if served else model_folder(origin)
    with open_engine(placement, None) as engine:
        engine.load(folder)
        yield ModelTeaching(pool, engine)


def _show_prompt(pool: Pool, origin: Hub, asked: Asked, *, served: bool) -> None:
    """A wrong template costs as much as a right one, so it is looked at before the weights are loaded."""
    question = asked.query["prompt"]
    if served:
        say_note(f"the first prompt, which the server puts into its own chat template:\n{question}")
        return
    tokenizer = load_tokenizer(model_folder(origin), remote_code=False)
    turns = [{"role": "user", "content": question}]
    prompt = render_chat(tokenizer, turns, thinking=pool.sampling.thinking, drop_system=False)
    say_note(f"the first prompt, in full:\n{prompt}")


class ModelTeaching:
    """See `Teaching`."""

    def __init__(self, pool: Pool, engine: Engine) -> None:
        self.description = engine.description
        self._pool, self._engine, self._fingerprint = pool, engine, engine.fingerprint[:SHORT]
        self._tokens = 0
        self._started = time.monotonic()

    def answers(self, asked: Iterable[Asked]) -> Iterator[dict[str, Any]]:
        """A row for each sample asked for, as they finish."""
        waiting: dict[str, tuple[Asked, int]] = {}
        for completion in self._engine.generate(self._requests(asked, waiting)):
            one, seed = waiting.pop(completion.id)
            self._tokens += completion.response_tokens
            yield self._row(one, seed, completion)

    @property
    def tokens_per_second(self) -> float:
        return self._tokens / max(time.monotonic() - self._started, 1e-9)

    def note(self) -> str:
        """Tokens so far and per second."""
        return f"{self._tokens:,} tokens, {self.tokens_per_second:,.0f} tokens/s"

    def _requests(self, asked: Iterable[Asked], waiting: dict[str, tuple[Asked, int]]) -> Iterator[Request]:
        sampling = replace(self._pool.sampling, n=1)
        for one in asked:
            prompt = self._prompt(one.query["prompt"], sampling)
            seed = sample_seed(self._pool, one)
            waiting[one.response_id] = (one, seed)
            yield Request(one.response_id, prompt, sampling, seed, group=one.group)

    def _prompt(self, question: str, sampling: Sampling) -> str:
        return self._engine.render([{"role": "user", "content": question}], sampling)

    def _row(self, one: Asked, seed: int, completion: Completion) -> dict[str, Any]:
        return response_row(
            *(one, seed, completion.text, self._fingerprint),
            prompt_tokens=completion.prompt_tokens,
            response_tokens=completion.response_tokens,
            finish_reason=completion.finish_reason,
            mean_logprob=completion.mean_logprob,
        )
