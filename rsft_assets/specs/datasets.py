"""Training sets: rows chosen from verified responses, or from the queries themselves, by a recipe."""

from dataclasses import dataclass
from typing import Literal

from rsft_assets.specs.hub import Hub

Recipe = Literal[
    "one-correct",  # one response judged correct, at random, per query
    "one-any",  # one response at random per query, whatever its verdict
    "without-thinking",  # the rows of `like`, their <think> part removed
    "first-rows",  # the first rows of `like`
    "human-solution",  # the queries of `like`, answered by the solution in their source
    "published",  # the rows of `published` as they are: another's set, or a file of one's own
]


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One training set. `pool` or `like` says where rows come from, as the recipe needs.

    With a `pool`, `like` names a set of the same source: its queries are taken first, in its order, where the pool
    answers them; other queries of the pool, in random order, fill the set.
    """

    name: str
    recipe: Recipe
    rows: int
    pool: str | None = None
    like: str | None = None
    source: str | None = None
    """human-solution only: the query source whose solutions are used."""
    held_out: int = 64
    """Rows made the same way from queries that the set does not use, fewer if those run out. They are never trained
    on and give each checkpoint a held-out loss. A set made from another shares its rows; a published set has none."""
    seed: int = 0
    thinking: bool = True
    """Each response holds exactly one <think>…</think>; False: none."""
    published: Hub | None = None
    """A finished set: the authors' file, or one's own; the recipe `published` adopts it."""
    title: str = ""
    """What people read in place of the name, such as `Math-CoT-20k`; no two sets of a study share one."""
    description: str = ""
