"""One shard of a pool while it grows: which samples are wanted, which are on disk, and its publication."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Self

from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.responses import Pool
from rsft_assets.steps.engines.protocol import GROUP_SIZE, in_groups
from rsft_assets.steps.records.journal import Journal
from rsft_assets.steps.records.rows import RowWriter, read_rows
from rsft_assets.steps.records.store import Build, Output
from rsft_assets.steps.responses.teaching import Asked

JOURNAL = ".responses.jsonl"
_DURABLE_EVERY = 256


def shard_size(pool: Pool, ref: Ref, queries: int) -> int:
    """How many queries a shard has; they are dealt out in turn."""
    return len(range(pool.shard_keys.index(ref.partition), queries, pool.shards))


class ResponseShard:
    """The responses of one shard; a context manager that closes its journal."""

    def __init__(self, build: Build, pool: Pool, *, engine: str = "") -> None:
        self.ref = build.identity.ref
        self._build, self._samples = build, pool.sampling.n
        number = pool.shard_keys.index(self.ref.partition)
        path = build.input(f"queries/{pool.source}").file("queries.parquet")
        columns = ["query_id", "question", "prompt", "gold", "fields"]
        rows = enumerate(read_rows(path, columns))
        self._queries = [query for place, query in rows if place % pool.shards == number]
        self.wanted = [f"{query['query_id']}-{n}" for query in self._queries for n in range(self._samples)]
        self._journal = Journal(build.folder / JOURNAL, key="response_id")
        # See `CompletionSet.resume`; `engine` is empty where the teacher is not repeatable.
        for group in in_groups(self.wanted) if engine else ():
            self._journal.keep_whole(group, engine)
        self.done = len(self._journal)
        self._since = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._journal.close()

    @property
    def left(self) -> int:
        """Samples not on disk yet."""
        return len(self.wanted) - len(self._journal)

    def missing(self) -> list[str]:
        """Ids of the samples not on disk yet."""
        return [response_id for response_id in self.wanted if response_id not in self._journal]

    def to_ask(self) -> Iterator[Asked]:
        """The samples not on disk yet; those of one query follow each other, which lets engines share its prompt."""
        for place, response_id in enumerate(self.wanted):
            if response_id not in self._journal:
                query, sample = divmod(place, self._samples)
                group = f"{self.ref.partition} {place // GROUP_SIZE}"
                yield Asked(response_id, sample, self._queries[query], group)

    def add(self, row: dict[str, Any]) -> None:
        """Add one finished response: in the file at once, flushed to disk a little later."""
        self._journal.append([row])
        self._since += 1
        if self._since >= _DURABLE_EVERY:
            self._journal.flush()
            self._since = 0

    def publish(self, tokens_per_second: float = 0.0) -> Output:
        """Write all responses in the order of queries and samples, with their counts and the speed of the teacher."""
        self._journal.flush()
        counts: Counter[str] = Counter()
        truth: Counter[str] = Counter()
        tokens = characters = 0
        with RowWriter(self._build.folder / "responses.parquet", "responses") as rows:
            for response_id in self.wanted:
                row = self._journal[response_id]
                rows.add(row)
                counts[row["finish_reason"] or "unknown"] += 1
                truth.update([row["truth"]] if "truth" in row else [])
                tokens += row["response_tokens"] or 0
                characters += len(row["text"])
        stats = {
            "rows": rows.rows,
            "queries": len(self._queries),
            "response_tokens": tokens or None,
            "mean_characters": round(characters / max(rows.rows, 1), 1),
            "finish_reasons": dict(sorted(counts.items())),
        }
        stats |= {"truth": dict(sorted(truth.items()))} if truth else {}
        stats |= {"tokens_per_second": round(tokens_per_second, 1)} if tokens_per_second else {}
        return self._build.publish(stats=stats)
