"""Generate responses: the queries of one shard and a teacher in, `responses.parquet` out.

    python -m rsft_assets.steps.generate responses/nano-sums_procedural_n4 --partition 0 --partition 1

A teacher is a model behind an engine, a seeded procedure (nano), or a published set that is taken over.
Responses are on disk as they finish (`.responses.jsonl` in the work folder): a killed step starts again
with what it had, and ends with exactly n samples a query. Queries are dealt to shards in turn.
"""

import argparse
import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import Ref, partitions_of
from rsft_assets.specs.responses import Pool
from rsft_assets.specs.study import Study, load_study
from rsft_assets.steps.adopted_responses import adopt_responses
from rsft_assets.steps.records.journal import Journal
from rsft_assets.steps.records.rows import RowWriter, read_rows
from rsft_assets.steps.records.store import Build, Output, Store
from rsft_assets.steps.running import Progress, requested, run_step, step_parser
from rsft_assets.steps.teaching import Asked, Teaching, open_teaching

log = logging.getLogger(__name__)
JOURNAL = ".responses.jsonl"
_DURABLE_EVERY = 256


def generate(study: Study, store: Store, ref: Ref, *, force: bool = False) -> Output:
    """Make one shard of a pool, or find it made."""
    pool: Pool = study.get("pools", ref.name)
    with store.build(study, ref, force=force, teacher=pool.teacher.name, seed=pool.sampling.seed) as build:
        if build.finished is None:
            if pool.adopted:
                build.publish(stats=adopt_responses(build, pool))
            else:
                build.publish(stats=_generate(build, pool, ref))
    assert build.finished is not None
    return build.finished


def shard_queries(build: Build, pool: Pool, ref: Ref, columns: list[str]) -> Iterator[dict[str, Any]]:
    """The queries of one shard, in the source's order."""
    shard = pool.shard_keys.index(ref.partition)
    path = build.input(f"queries/{pool.source}").file("queries.parquet")
    for number, query in enumerate(read_rows(path, columns)):
        if number % pool.shards == shard:
            yield query


def _generate(build: Build, pool: Pool, ref: Ref) -> dict[str, Any]:
    columns = ["query_id", "question", "prompt", "gold", "fields"]
    queries = list(shard_queries(build, pool, ref, columns))
    wanted = [f"{query['query_id']}-{sample}" for query in queries for sample in range(pool.sampling.n)]
    progress = Progress(str(ref), len(wanted), "responses")
    with Journal(build.folder / JOURNAL, key="response_id") as journal:
        if len(journal):
            log.info("%s: %d of %d responses are there from an earlier try", ref, len(journal), len(wanted))
        progress.skip(len(journal))
        missing = (
            Asked(response_id=f"{query['query_id']}-{sample}", sample=sample, query=query)
            for query in queries
            for sample in range(pool.sampling.n)
            if f"{query['query_id']}-{sample}" not in journal
        )
        if len(journal) < len(wanted):
            with open_teaching(pool) as teaching:
                build.made_by["engine"] = teaching.description
                _collect(teaching, missing, journal, progress)
        return _write(build, wanted, journal)


def _collect(teaching: Teaching, missing: Iterator[Asked], journal: Journal, progress: Progress) -> None:
    since = 0
    for row in teaching.answers(missing):
        journal.append([row])
        since += 1
        if since >= _DURABLE_EVERY:
            journal.flush()
            since = 0
        progress.step(1, teaching.note())
    journal.flush()


def _write(build: Build, wanted: list[str], journal: Journal) -> dict[str, Any]:
    """All responses in the order of queries and samples, with their counts."""
    lost = [response_id for response_id in wanted if response_id not in journal]
    if lost:
        raise StepError(
            f"{build.identity.ref}: {len(lost)} of {len(wanted)} responses did not come back, the first is {lost[0]}; "
            "run it again to ask for them once more"
        )
    counts: Counter[str] = Counter()
    tokens = characters = 0
    with RowWriter(build.folder / "responses.parquet", "responses") as rows:
        for response_id in wanted:
            row = journal[response_id]
            rows.add(row)
            counts[f"finish:{row['finish_reason']}"] += 1
            if "truth" in row:
                counts[f"truth:{row['truth']}"] += 1
            tokens += row["response_tokens"] or 0
            characters += len(row["text"])
    return {
        "rows": rows.rows,
        "queries": len({response_id.rpartition("-")[0] for response_id in wanted}),
        "response_tokens": tokens or None,
        "mean_characters": round(characters / max(rows.rows, 1), 1),
        "finish_reasons": _with_prefix(counts, "finish:"),
        "truth": _with_prefix(counts, "truth:"),
    }


def _with_prefix(counts: Counter[str], prefix: str) -> dict[str, int]:
    return {key.removeprefix(prefix): count for key, count in sorted(counts.items()) if key.startswith(prefix)}


def main(arguments: argparse.Namespace) -> None:
    study = load_study()
    for ref in shards(study, requested(study, arguments)):
        generate(study, Store.from_env(), ref, force=arguments.force)


def shards(study: Study, refs: list[Ref]) -> Iterator[Ref]:
    """Each ref as it is, one without a partition as all its shards."""
    for ref in refs:
        yield from [ref] if ref.partition else [Ref(ref.asset, key) for key in partitions_of(study, ref.asset)]


if __name__ == "__main__":
    run_step(main, step_parser(__doc__))
