"""A teacher that is ready to answer. Queries with a sample number in, rows of `responses` out, in any order.

    with open_teaching(pool, first) as teaching:
        for row in teaching.answers(asked): ...

A procedure reports its own errors in `truth`, which is counted and not stored.
"""

import contextlib
import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from rsft_assets.specs.fingerprint import SHORT, fingerprint
from rsft_assets.specs.hub import Generator
from rsft_assets.specs.placement import load_placement
from rsft_assets.specs.responses import Pool
from rsft_assets.steps.engines.opening import repeatable_engine
from rsft_assets.steps.engines.protocol import request_seed
from rsft_assets.steps.nano.teacher import procedure


@dataclass(frozen=True)
class Asked:
    """One sample of one query."""

    response_id: str
    sample: int
    query: dict[str, Any]
    group: str = ""
    """As in `Request`."""


def response_row(one: Asked, seed: int, text: str, engine: str, **known: Any) -> dict[str, Any]:
    """A row of `responses`; what is not `known` of it is None."""
    unknown = dict.fromkeys(("prompt_tokens", "response_tokens", "finish_reason", "mean_logprob"))
    ids = {"response_id": one.response_id, "query_id": one.query["query_id"], "sample": one.sample, "seed": seed}
    return {**ids, "text": text, "engine": engine, **unknown, **known}


class Teaching(Protocol):
    """A teacher ready to answer."""

    description: dict[str, Any]

    def answers(self, asked: Iterable[Asked]) -> Iterator[dict[str, Any]]:
        """A row for each sample asked for, as they finish."""

    @property
    def tokens_per_second(self) -> float:
        """Of the model since it was loaded; 0 of a procedure."""

    def note(self) -> str:
        """A short state for the progress line."""


@contextlib.contextmanager
def open_teaching(pool: Pool, first: Asked) -> Iterator[Teaching]:
    """The pool's teacher, closed again at the end; `first` is what it will be asked first."""
    if isinstance(pool.teacher.origin, Generator):
        yield ProceduralTeaching(pool, pool.teacher.origin)
    else:
        from rsft_assets.steps.responses.model_teaching import open_model_teaching

        with open_model_teaching(pool, pool.teacher.origin, first) as teaching:
            yield teaching


def repeatable_teacher(pool: Pool) -> str:
    """See `repeatable_engine`, as rows name it; a procedure works every answer out by itself and needs no groups."""
    if isinstance(pool.teacher.origin, Generator):
        return ""
    return repeatable_engine(load_placement(pool.teacher.name))[:SHORT]


def sample_seed(pool: Pool, asked: Asked) -> int:
    """The recorded seed of one sample: the same in whatever order and shard it is drawn."""
    return request_seed(pool.sampling.seed, asked.query["query_id"], asked.sample)


@dataclass
class ProceduralTeaching:
    """A seeded procedure of `steps/nano`."""

    tokens_per_second = 0.0
    pool: Pool
    origin: Generator
    description: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        options = dict(self.origin.options)
        self.description = {"procedure": self.origin.name, "seed": self.origin.seed, "options": options}
        self._engine = fingerprint(self.description)[:SHORT]
        self._answer = procedure(self.origin.name, **options)

    def answers(self, asked: Iterable[Asked]) -> Iterator[dict[str, Any]]:
        """A row for each sample asked for, in order."""
        for one in asked:
            seed = sample_seed(self.pool, one)
            worked = self._answer(json.loads(one.query["fields"]), random.Random(f"{self.origin.seed} {seed}"))
            yield response_row(one, seed, worked.text, self._engine, finish_reason="stop", truth=worked.truth)

    def note(self) -> str:
        return ""
