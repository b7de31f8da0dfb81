"""Published responses taken over as a pool: rows of a data set in, `responses.parquet` of each shard out.

A row belongs to the query whose question it holds; the others are counted. The question is `question`, `problem` or
the last user turn of `prompt` or `message`, with or without the query's instruction; the response is `response` or,
in LUFFY's layout, the last turn of `target`. Token log-probabilities, in a column whose name has `logprob`, are kept
as their mean. `columns` of the pool's repository maps other names. All shards are read in one pass.
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
        for question, text, logprob in _published(builds[0], hub, counts):
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
            f"queries/{pool.source}; are they the same problems?"
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
        yield read_adopted(row, f"{hub.repo}, row {number}")


def read_adopted(row: Mapping[str, Any], where: str) -> tuple[str, str, float | None]:
    """(question, response, mean log-probability) of a published row; the response opens its thinking, as ours do."""
    question = row.get("question") or row.get("problem")
    if question is None:
        turns = next((row[name] for name in ("prompt", "message", "messages") if row.get(name)), None)
        question = _last_turn(turns, "user").removesuffix(BOXED_INSTRUCTION)
    text = row["response"] if "response" in row else _last_turn(row.get("target"), "assistant")
    if not question or not {"response", "target"} & row.keys():
        raise StepError(
            f"{where}: columns {', '.join(sorted(row))}; prompt and target, or question and response, needed (map "
            "other names with `columns`)"
        )
    text = text or ""
    # Some publishers leave the opening tag to the chat template of their teacher.
    if "</think>" in text and "<think>" not in text:
        text = f"<think>\n{text}"
    return question, text, _mean_logprob(row)


def _mean_logprob(row: Mapping[str, Any]) -> float | None:
    if isinstance(mean := row.get("mean_logprob"), (int, float)):
        return float(mean)
    for name, value in row.items():
        if "logprob" in name and not name.startswith("num") and isinstance(value, list):
            numbers = [number for number in value if number is not None]
            # Other layouts, such as the candidates of each token, have no mean that is known here.
            if numbers and all(isinstance(number, float) and math.isfinite(number) for number in numbers):
                return math.fsum(numbers) / len(numbers)
    return None


def _last_turn(turns: Any, role: str) -> str:
    if isinstance(turns, str):
        return turns
    said = [turn.get("content") for turn in turns or () if isinstance(turn, Mapping) and turn.get("role") == role]
    return said[-1] or "" if said else ""
