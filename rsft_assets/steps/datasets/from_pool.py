"""Sets chosen from a pool of verified responses: recipes `one-correct` and `one-any`; held-out rows come last.

Queries and their responses are ordered by hash, so the set is the same however the pool was sharded; its
row order is that random order, and the first rows of it are a fair sample of it. A set that is `like` another takes
that one's queries first, in its order.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

from rsft_assets.specs.datasets import Dataset
from rsft_assets.specs.errors import StepError
from rsft_assets.specs.responses import Pool, queries_to_fill
from rsft_assets.steps.datasets.decontamination import Items
from rsft_assets.steps.datasets.facts import wants_box
from rsft_assets.steps.datasets.responses import problem_with_response
from rsft_assets.steps.datasets.selection import Chosen, Query, Selection, Shard, candidates
from rsft_assets.steps.processes.events import Progress
from rsft_assets.steps.records.columns import EXAMPLES_FILE
from rsft_assets.steps.records.ids import rank
from rsft_assets.steps.records.journal import Journal
from rsft_assets.steps.records.rows import read_rows
from rsft_assets.steps.records.store import Build

log = logging.getLogger(__name__)


def rows_from_pool(build: Build, dataset: Dataset, pool: Pool, stats: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of the set; `stats` receives the count of every filter."""
    shards = [_shard(build, pool, key) for key in pool.shard_keys]
    source = build.input(f"queries/{pool.source}")
    verdicts: Counter[str] = Counter()
    accepts = (lambda verdict: verdict == "correct") if dataset.recipe == "one-correct" else (lambda verdict: True)
    queries = candidates(shards, dataset.seed, accepts, verdicts)
    items, checked = benchmark_items(build)
    contaminated = Counter[str]()
    for query in read_rows(source.file("queries.parquet"), ["query_id", "question"]):
        if query["query_id"] in queries and (benchmark := items.holding(query["question"])):
            contaminated[benchmark] += 1
            del queries[query["query_id"]]
    with Journal(build.folder / ".texts.jsonl", key="response_id") as texts:
        box = wants_box(dataset)
        selection = Selection(
            shards, texts, lambda text: problem_with_response(text, thinking=dataset.thinking, box=box)
        )
        places = _places(build, dataset)

        def order(query: Query) -> tuple[int, int, str]:
            place = places.get(query.query_id, len(places))
            return place, rank(dataset.seed, "query", query.query_id), query.query_id

        chosen = selection.fill(sorted(queries.values(), key=order), dataset.rows + dataset.held_out)
        if dataset.like:
            shared = sum(choice.query_id in places for choice in chosen[: dataset.rows])
            stats["like"] = {"dataset": dataset.like, "digest": build.input(f"datasets/{dataset.like}").digest}
            stats["like"] |= {"shared_queries": shared, "other_queries": min(len(chosen), dataset.rows) - shared}
        stats["pool"] = {
            "queries": source.stats["rows"],
            "responses": verdicts.total(),
            "verdicts": dict(sorted(verdicts.items())),
        }
        stats["decontamination"] = {**checked, "removed": dict(contaminated)}
        stats["filters"] = _filters(
            stats["pool"]["queries"], queries, contaminated.total(), selection, min(len(chosen), dataset.rows)
        )
        stats["responses_passed_over"] = dict(selection.left_out)
        _enough(build, dataset, stats, len(chosen))
        stats["contaminated"] = 0
        for row in _rows(build, pool, chosen, texts):
            stats["contaminated"] += items.holding(row["question"]) is not None
            yield row


def _places(build: Build, dataset: Dataset) -> dict[str, int]:
    """Place of each query in the set that this one is `like`; {} where it is like none."""
    if not dataset.like:
        return {}
    rows = read_rows(build.input(f"datasets/{dataset.like}").file(EXAMPLES_FILE), ["query_id"])
    return {row["query_id"]: place for place, row in enumerate(rows)}


def benchmark_items(build: Build) -> tuple[Items, dict[str, Any]]:
    """What no row may hold, from every benchmark that could be had; the others are named."""
    items, checked, unchecked = Items(), {}, []
    for record in build.identity.inputs:
        if not record.asset.startswith("benchmarks/"):
            continue
        name = record.asset.removeprefix("benchmarks/")
        benchmark = build.input(record.asset)
        if benchmark.stats.get("access") == "none":
            unchecked.append(name)
            continue
        path = benchmark.file("items.parquet")
        checked[name] = items.add(name, (row["question"] for row in read_rows(path, ["question"])))
    if unchecked:
        log.warning("%s is not checked against %s: no access to their items", build.identity.ref, ", ".join(unchecked))
    return items, {"checked": checked, "unchecked": unchecked}


def _shard(build: Build, pool: Pool, key: str) -> Shard:
    responses = build.input(f"responses/{pool.name}", key).file("responses.parquet")
    return Shard(key, responses, build.input(f"verdicts/{pool.name}", key).file("verdicts.parquet"))


def _filters(
    total: int, usable: dict[str, Query], contaminated: int, selection: Selection, rows: int
) -> list[dict[str, Any]]:
    accepted = len(usable) + contaminated
    steps = [
        {"filter": "queries", "removed": 0, "left": total},
        {"filter": "no-accepted-response", "removed": total - accepted, "left": accepted},
        {"filter": "contaminated", "removed": contaminated, "left": len(usable)},
        {"filter": "no-usable-text", "removed": selection.without, "left": len(usable) - selection.without},
    ]
    return [*steps, {"filter": "rows-wanted", "removed": len(usable) - selection.without - rows, "left": rows}]


def _enough(build: Build, dataset: Dataset, stats: dict[str, Any], available: int) -> None:
    if available < dataset.rows:
        queries = stats["pool"]["queries"]
        wanted = f"{queries_to_fill(dataset.rows, available / queries):,} queries" if available else "more queries"
        steps = "; ".join(f"{step['filter']} leaves {step['left']}" for step in stats["filters"][:-1])
        raise StepError(
            f"{build.identity.ref}: {dataset.rows} rows are declared, but {available} queries can give one ({steps}); "
            f"in place of {queries:,}, declare {wanted} in their source (its limit, in a study file: "
            f"[override.sources]), or declare a smaller set under another name"
        )


def _rows(build: Build, pool: Pool, chosen: list[Chosen], texts: Journal) -> Iterator[dict[str, Any]]:
    wanted = {choice.query_id for choice in chosen}
    path = build.input(f"queries/{pool.source}").file("queries.parquet")
    columns = ["query_id", "question", "prompt", "gold"]
    queries = {row["query_id"]: row for row in read_rows(path, columns) if row["query_id"] in wanted}
    progress = Progress(str(build.identity.ref), len(chosen), "rows")
    for number, choice in enumerate(chosen):
        query, text = queries[choice.query_id], texts[choice.response_id]["text"]
        yield {
            "row": number,
            "query_id": choice.query_id,
            "response_id": choice.response_id,
            "verdict": choice.verdict,
            "data_source": pool.source,
            "question": query["question"],
            "answer": query["gold"],
            "message": [{"role": "user", "content": query["prompt"]}],
            "response": text,
            "response_length": len(text),
            "advantage": 1.0,
        }
        progress.step()
