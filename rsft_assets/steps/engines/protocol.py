"""What every engine takes and gives."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from rsft_assets.specs.responses import Sampling

T = TypeVar("T")
FILTERED = "content_filter"
"""The finish reason of an answer that a server held back, wholly or from some place on."""


@dataclass(frozen=True)
class Request:
    """One text to draw: `prompt` is rendered already, `sampling.n` is not looked at."""

    id: str
    prompt: str
    sampling: Sampling
    seed: int
    group: str = ""
    """Requests of one group follow each other. A repeatable engine decodes each group by itself."""
    stops: tuple[int, ...] = ()
    """Tokens that end the text beside the model's end token."""


@dataclass(frozen=True)
class Completion:
    """One drawn text, special tokens left out."""

    id: str
    text: str
    prompt_tokens: int
    response_tokens: int
    """The end token counts."""
    finish_reason: str
    """stop, length where the token limit or the model's context ended it, or content_filter."""
    ended_by_eos: bool
    mean_logprob: float | None
    """Of the drawn tokens under the model's own distribution, before sampling bends it; None where not known."""


class Engine(AbstractContextManager["Engine"], Protocol):
    """A context manager; leaving it frees the model."""

    fingerprint: str
    description: dict[str, Any]
    """Its `repeatable` says whether the same group of requests gets the same texts, whatever is asked beside it."""

    def load(self, model_folder: Path) -> None:
        """First load, or only new weights of the same architecture."""

    def render(self, turns: list[dict[str, str]], sampling: Sampling) -> str:
        """Chat turns as the model's own template writes them, up to where the answer starts."""

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Completions as they finish, in any order; requests are drawn from a stream a bounded number ahead."""


GROUP_SIZE = 512


def in_groups(samples: Sequence[T]) -> Iterator[Sequence[T]]:
    """The samples of one cell as they are decoded by a repeatable engine, always the same ones together.

    Rows of one batch change each other's rounding, and with it, now and then, a token.
    """
    for start in range(0, len(samples), GROUP_SIZE):
        yield samples[start : start + GROUP_SIZE]


def request_seed(base: int, *parts: str | int) -> int:
    """A seed for one sample, the same wherever and in whatever order it is drawn."""
    text = "\0".join([str(base), *map(str, parts)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
