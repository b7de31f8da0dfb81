"""Response pools: a teacher answers every query of a source, once or several times."""

import math
from dataclasses import dataclass

from rsft_assets.specs.hub import Generator, Hub


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How text is drawn from a model. Part of identity, seeds included."""

    n: int = 1
    temperature: float = 0.6
    top_p: float = 0.95
    top_k: int = -1
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    max_tokens: int = 32768
    seed: int = 0
    thinking: bool | None = None
    """For chat templates with such a switch; None leaves the template's default."""


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """Who answers: a hub model, or a seeded procedure (nano). Adopted responses need neither."""

    name: str
    origin: Hub | Generator


@dataclass(frozen=True, kw_only=True)
class Pool:
    """All responses of one teacher to one source. `adopted` takes published responses instead."""

    name: str
    source: str
    teacher: Teacher
    sampling: Sampling
    shards: int = 1
    adopted: Hub | None = None
    published: Hub | None = None
    """Where responses like these are published; `[adopt_pools]` of a study file takes them over."""
    acceptance: float | None = None
    """Share of the responses that is assumed to be judged correct, for plans until one shard has been verified."""
    description: str = ""

    @property
    def shard_keys(self) -> tuple[str, ...]:
        width = len(str(self.shards - 1))
        return tuple(str(i).zfill(width) for i in range(self.shards))


def queries_to_fill(rows: int, share: float) -> int:
    """Queries for `rows` rows and a quarter more, where this share of the queries gives a row."""
    return math.ceil(1.25 * rows / share)
