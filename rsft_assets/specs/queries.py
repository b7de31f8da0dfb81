"""Query sources: questions with a reference answer."""

from dataclasses import dataclass
from typing import Literal

from rsft_assets.specs.hub import Generator, Hub

BOXED_INSTRUCTION = "\nPlease reason step by step, and put your final answer within \\boxed{}."


@dataclass(frozen=True, kw_only=True)
class QuerySource:
    """A set of queries; every row becomes (query_id, prompt, gold, ...)."""

    name: str
    kind: Literal["math", "countdown"]
    """How a response is judged against its gold."""
    origin: Hub | Generator
    instruction: str = BOXED_INSTRUCTION
    """Appended to the question; it is part of the training data."""
    limit: int | None = None
    """Queries kept after filtering, in the source's order; None keeps all."""
    description: str = ""
