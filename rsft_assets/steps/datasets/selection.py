"""Choosing one response per query from a pool, at random by hash: the same choice whatever the order of shards.

Candidates are read from the verdicts alone; texts are read only for what was chosen, and a text that
cannot be a row is replaced by its query's next candidate. A pool may be much larger than memory.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from rsft_assets.specs.errors import StepError
from rsft_assets.steps.records.ids import rank
from rsft_assets.steps.records.journal import Journal
from rsft_assets.steps.records.rows import read_batches
from rsft_assets.steps.verdicts.verifier.limits import VERDICTS

_PLACE_BITS, _VERDICT_BITS = 28, 2


@dataclass(frozen=True)
class Shard:
    """The two files of one shard, row by row about the same responses."""

    key: str
    responses: Path
    verdicts: Path


@dataclass
class Query:
    """One query's candidates, the most preferred first: each is one number of rank, verdict and place in the shard."""

    query_id: str
    shard: int
    order: list[int] = field(default_factory=list)

    @property
    def place(self) -> int:
        return self.order[0] & ((1 << _PLACE_BITS) - 1)

    @property
    def verdict(self) -> str:
        return VERDICTS[self.order[0] >> _PLACE_BITS & ((1 << _VERDICT_BITS) - 1)]


@dataclass(frozen=True)
class Chosen:
    """One response that becomes a row; its text waits in the journal under its id."""

    query_id: str
    response_id: str
    verdict: str


def candidates(
    shards: list[Shard], seed: int, accepts: Callable[[str], bool], verdicts: Counter[str]
) -> dict[str, Query]:
    """Queries with at least one acceptable verdict; `verdicts` counts all that were read."""
    queries: dict[str, Query] = {}
    for number, shard in enumerate(shards):
        place = 0
        for batch in read_batches(shard.verdicts, ["response_id", "query_id", "verdict"], batch=16_384):
            columns = [batch.column(name).to_pylist() for name in ("response_id", "query_id", "verdict")]
            for response_id, query_id, verdict in zip(*columns, strict=True):
                verdicts[verdict] += 1
                if accepts(verdict):
                    query = queries.setdefault(query_id, Query(query_id, number))
                    known = VERDICTS.index(verdict) << _PLACE_BITS | place
                    query.order.append(rank(seed, response_id) << (_PLACE_BITS + _VERDICT_BITS) | known)
                place += 1
    for query in queries.values():
        query.order.sort()
    return queries


class Selection:
    """Fills `wanted` rows from queries in their random order; texts of the chosen are put into `texts`."""

    def __init__(self, shards: list[Shard], texts: Journal, problem: Callable[[str], str | None]) -> None:
        self._shards, self._texts, self._problem = shards, texts, problem
        self.left_out: Counter[str] = Counter()
        self.without: int = 0
        """Queries none of whose candidates can be a row."""

    def fill(self, queries: list[Query], wanted: int) -> list[Chosen]:
        """The first `wanted` queries that have a usable response, in the order given."""
        chosen: dict[str, Chosen] = {}
        waiting: list[Query] = []
        upcoming = iter(queries)
        while True:
            short = wanted - len(chosen) - len(waiting)
            waiting += [query for _, query in zip(range(short), upcoming, strict=False)]
            if not waiting:
                break
            waiting = list(self._try(waiting, chosen))
        return [chosen[query.query_id] for query in queries if query.query_id in chosen]

    def _try(self, waiting: list[Query], chosen: dict[str, Chosen]) -> Iterator[Query]:
        """Read each query's most preferred response; yields the queries that have to go on to their next."""
        by_shard: dict[int, list[Query]] = defaultdict(list)
        for query in waiting:
            by_shard[query.shard].append(query)
        for number, some in sorted(by_shard.items()):
            for query, row in _texts(self._shards[number], sorted(some, key=lambda query: query.place)):
                problem = self._problem(row["text"])
                if problem is None:
                    self._texts.append([row])
                    chosen[query.query_id] = Chosen(query.query_id, row["response_id"], query.verdict)
                    continue
                self.left_out[problem] += 1
                query.order.pop(0)
                if query.order:
                    yield query
                else:
                    self.without += 1


def _texts(shard: Shard, queries: list[Query]) -> Iterator[tuple[Query, dict[str, Any]]]:
    """The rows at the queries' places, which must be in order; only the row groups that hold one are read."""
    with pq.ParquetFile(shard.responses) as file:
        first, group, table = 0, -1, None
        for query in queries:
            while table is None or query.place >= first + table.num_rows:
                first += table.num_rows if table is not None else 0
                group += 1
                size = file.metadata.row_group(group).num_rows
                if query.place >= first + size:
                    first, table = first + size, None
                    continue
                table = file.read_row_group(group, columns=["response_id", "query_id", "text"])
            row = table.slice(query.place - first, 1).to_pylist()[0]
            if row.pop("query_id") != query.query_id:
                raise StepError(f"{shard.responses} and {shard.verdicts} are not about the same rows; verify again")
            yield query, row
