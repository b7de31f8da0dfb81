"""Published responses taken over as a pool: rows of a data set in, `responses.parquet` of each shard out.

A row belongs to the query whose question it holds; the others are counted. A question is text or turns, of which the
last of the user counts, with or without the query's instruction. A response is text, turns, of which the last of the
assistant counts, or a list of several responses. Token log-probabilities, in a column whose name has `logprob`, are
kept as their mean. `columns` of the pool's repository maps names that are not in the lists below. All shards are read
in one pass.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.hub import Hub
from rsft_assets.specs.queries import BOXED_INSTRUCTION
from rsft_assets.specs.responses import Pool
from rsft_assets.steps.processes.events import Progress
from rsft_assets.steps.records.hub import dataset_rows, where_from
from rsft_assets.steps.records.ids import normalised
from rsft_assets.steps.records.rows import RowWriter, read_rows
from rsft_assets.steps.records.store import Build
from rsft_assets.steps.responses.teaching import Asked, response_row

QUESTIONS = ("question", "problem", "prompt", "message", "messages", "query", "instruction", "input")
RESPONSES = (
    *("response", "responses", "target", "output", "outputs", "completion", "completions"),
    *("generation", "generations", "generated_text"),
)
"""Names that publishers use, in the order in which they are looked for."""


def adopt_responses(builds: Sequence[Build], pool: Pool) -> None:
    """Publish the responses that answer the queries of these shards."""
    hub = pool.adopted
    assert hub is not None
    shards = {pool.shard_keys.index(build.identity.ref.partition): build for build in builds}
    places = _places(builds[0], pool)
    samples: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    left_out = {shard: Counter[str]() for shard in shards}
    with ExitStack() as files:
        writers = {
            shard: files.enter_context(RowWriter(build.folder / "responses.parquet", "responses"))
            for shard, build in shards.items()
        }
        example = ""
        for question, text, logprob in _published(builds[0], hub, counts):
            example = example or question
            query_id, shard = places.get(normalised(question), (None, -1))
            if query_id is None:
                counts["no-such-query"] += 1
            elif shard in shards and (not text or samples[query_id] >= pool.sampling.n):
                left_out[shard]["more-than-n" if text else "empty"] += 1
            elif shard in shards:
                sample = samples[query_id]
                one = Asked(f"{query_id}-{sample}", sample, {"query_id": query_id})
                engine = f"adopted:{where_from(hub)}"
                writers[shard].add(response_row(one, 0, text, engine, mean_logprob=logprob))
                samples[query_id] += 1
    if not samples:
        raise StepError(
            f"{builds[0].identity.ref}: none of {counts['read']} rows of {hub.repo} answers a query of "
            f"queries/{pool.source}; are they the same problems? The first is read as {example[:80]!r}; another column "
            f'can be named in the study file: {_table(builds[0])} columns = {{ question = "…" }}'
        )
    answered = Counter(shard for query_id, shard in places.values() if samples[query_id])
    for shard, build in shards.items():
        build.origin, build.adopted_from = "adopted", {"repo": hub.repo, "revision": hub.revision}
        passed_over = {**left_out[shard], "no-such-query": counts["no-such-query"]}
        build.publish({"rows": writers[shard].rows, "queries": answered[shard], "left_out": passed_over})


def _places(build: Build, pool: Pool) -> dict[str, tuple[str, int]]:
    """Question -> its query and the shard of it."""
    path = build.input(f"queries/{pool.source}").file("queries.parquet")
    return {
        normalised(query["question"]): (query["query_id"], number % pool.shards)
        for number, query in enumerate(read_rows(path, ["query_id", "question"]))
    }


def _published(build: Build, hub: Hub, counts: Counter[str]) -> Iterator[tuple[str, str, float | None]]:
    progress = Progress(build.identity.ref.asset, 0, "rows")
    for number, row in enumerate(dataset_rows(hub)):
        counts["read"] += 1
        progress.step()
        yield from read_adopted(row, f"{hub.repo}, row {number}", _table(build))


def _table(build: Build) -> str:
    """Where a study file names the columns."""
    return f'[adopt_pools."{build.identity.ref.name}"]'


def read_adopted(row: Mapping[str, Any], where: str, table: str) -> list[tuple[str, str, float | None]]:
    """(question, response, mean log-probability) of each response of a published row; `table` is where to map names."""
    asked = next((name for name in QUESTIONS if row.get(name)), None)
    # An empty response is counted; a column that is nowhere is an error.
    answered = next((name for name in RESPONSES if row.get(name)), next((n for n in RESPONSES if n in row), None))
    question = _last_turn(row[asked], "user").removesuffix(BOXED_INSTRUCTION) if asked else ""
    if not question or answered is None:
        raise StepError(_not_understood(row, where, table, question, answered))
    texts = _texts(row[answered])
    means = _mean_logprobs(row, len(texts))
    return [(question, _opened(text), mean) for text, mean in zip(texts, means, strict=True)]


def _not_understood(row: Mapping[str, Any], where: str, table: str, question: str, answered: str | None) -> str:
    columns = ", ".join(f"{name} ({_shape(row[name])})" for name in sorted(row))
    lacking = [part for part, is_there in (("question", question), ("response", answered)) if not is_there]
    return (
        f"{where}: no {' and no '.join(lacking)} found in its columns: {columns}; looked for a question in "
        f"{', '.join(QUESTIONS)} and for a response in {', '.join(RESPONSES)}. Name the columns in the study file: "
        f'{table} columns = {{ question = "…", response = "…" }}'
    )


def _shape(value: Any) -> str:
    if isinstance(value, list):
        return f"list of {_shape(value[0])}" if value else "empty list"
    names = {str: "text", dict: "table", type(None): "nothing", bool: "true or false"}
    return names.get(type(value), "number" if isinstance(value, (int, float)) else type(value).__name__)


def _texts(value: Any) -> list[str]:
    """The responses of a row: one text, the last turn of a conversation, or a list of either."""
    if isinstance(value, list) and value and not isinstance(value[0], Mapping):
        return [_last_turn(one, "assistant") for one in value]
    return [_last_turn(value, "assistant")]


def _opened(text: str) -> str:
    # Some publishers leave the opening tag to the chat template of their teacher.
    return f"<think>\n{text}" if "</think>" in text and "<think>" not in text else text


def _mean_logprobs(row: Mapping[str, Any], responses: int) -> list[float | None]:
    """The mean of each response, None where the row has none in a form that is known here."""
    if isinstance(mean := row.get("mean_logprob"), (int, float)) and responses == 1:
        return [float(mean)]
    for name, value in row.items():
        if "logprob" in name and not name.startswith("num") and isinstance(value, list):
            is_of_each = len(value) == responses and (responses > 1 or isinstance(value[0], list))
            means = [_mean(one) for one in (value if is_of_each else [value])]
            if len(means) == responses and any(mean is not None for mean in means):
                return means
    return [None] * responses


def _mean(numbers: Any) -> float | None:
    """Other layouts, such as the candidates of each token, have no mean that is known here."""
    there = [number for number in numbers if number is not None] if isinstance(numbers, list) else [numbers]
    if there and all(isinstance(number, float) and math.isfinite(number) for number in there):
        return math.fsum(there) / len(there)
    return None


def _last_turn(turns: Any, role: str) -> str:
    if isinstance(turns, str):
        return turns
    if not isinstance(turns, list):
        return ""
    said = [turn.get("content") for turn in turns if isinstance(turn, Mapping) and turn.get("role") == role]
    return said[-1] or "" if said else ""
