"""Fetch a query source: rows of a pinned data set or of a seeded generator in, `queries.parquet` out.

    python -m rsft_assets.steps.queries.fetch queries/nano-math

Every filter says how many rows it let through and how many it left out (`stats.filters`).
"""

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.hub import Generator, Hub
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.queries import QuerySource
from rsft_assets.specs.study import Study
from rsft_assets.steps.nano.skills import items
from rsft_assets.steps.processes.events import Progress
from rsft_assets.steps.queries.columns import PROBLEMS, Raw, problem_with, read_query
from rsft_assets.steps.records.hub import dataset_rows, where_from
from rsft_assets.steps.records.ids import normalised, query_id
from rsft_assets.steps.records.rows import RowWriter
from rsft_assets.steps.records.stage import run_stage
from rsft_assets.steps.records.store import Output, Store


def fetch_queries(study: Study, store: Store, ref: Ref, *, force: bool = False) -> Output:
    """Make one query source, or find it made."""
    source: QuerySource = study.get("sources", ref.name)
    with store.build(study, ref, force=force, origin=_origin(source)) as build:
        if build.finished is None:
            counts: Counter[str] = Counter()
            with RowWriter(build.folder / "queries.parquet", "queries") as rows:
                for query in _queries(source, counts):
                    rows.add(query)
            if not rows.rows:
                raise StepError(f"{ref}: no row of {_origin(source)} can be used: {dict(counts)}; check the source")
            build.publish(stats={"rows": rows.rows, "filters": _filters(counts)})
    return build.output


def _origin(source: QuerySource) -> str:
    if isinstance(source.origin, Hub):
        return where_from(source.origin)
    return f"generator {source.origin.name}, seed {source.origin.seed}"


def _raw_rows(source: QuerySource) -> Iterator[Raw]:
    if isinstance(source.origin, Hub):
        repo = source.origin.repo
        for number, row in enumerate(dataset_rows(source.origin)):
            try:
                yield read_query(repo, row)
            except StepError as error:
                raise StepError(f"{repo}, row {number}: {error}") from error
    else:
        yield from generated_queries(source.origin)


def generated_queries(generator: Generator) -> Iterator[Raw]:
    """The rows of a nano generator as queries."""
    options: dict[str, Any] = dict(generator.options)
    made = 0
    for item in itertools.islice(items(generator.name, generator.seed, **options), generator.count):
        made += 1
        fields = {"category": item.category, **item.fields}
        yield Raw(question=item.question, gold=item.gold, solution=item.solution, fields=fields)
    if made < generator.count:
        raise StepError(
            f"generator {generator.name}, seed {generator.seed}: no more than {made} different questions, where count "
            f"asks for {generator.count}; declare fewer"
        )


def _queries(source: QuerySource, counts: Counter[str]) -> Iterator[dict[str, Any]]:
    total = source.origin.count if isinstance(source.origin, Generator) else source.limit or 0
    progress = Progress(f"queries/{source.name}", total, "queries")
    seen: set[str] = set()
    for row_number, raw in enumerate(_raw_rows(source)):
        counts["read"] += 1
        if problem := problem_with(raw, source.kind):
            counts[problem] += 1
            continue
        question = raw.question.strip()
        # A question in two rows would be trained on twice, whatever the gold.
        if (same := normalised(question)) in seen:
            counts["duplicate"] += 1
            continue
        if source.limit is not None and counts["kept"] >= source.limit:
            # The remaining rows are not counted.
            counts["over-limit"] += 1
            break
        seen.add(same)
        counts["kept"] += 1
        progress.step()
        yield _record(source, raw, question, row_number)


def _record(source: QuerySource, raw: Raw, question: str, row_number: int) -> dict[str, Any]:
    gold = raw.gold.strip()
    return {
        "query_id": query_id(source.kind, question, gold),
        "kind": source.kind,
        "question": question,
        "prompt": question + source.instruction,
        "gold": gold,
        "solution": raw.solution,
        "source_row": row_number,
        "fields": json.dumps(raw.fields, ensure_ascii=False, sort_keys=True, default=str),
    }


def _filters(counts: Counter[str]) -> list[dict[str, Any]]:
    """What each filter took away and let through, in order."""
    left = counts["read"] - counts["over-limit"]
    steps = [{"filter": "read", "removed": 0, "left": left}]
    for name in (*PROBLEMS, "duplicate"):
        left -= counts[name]
        steps.append({"filter": name, "removed": counts[name], "left": left})
    if counts["over-limit"]:
        steps.append({"filter": "limit", "removed": None, "left": left})
    return steps


if __name__ == "__main__":
    run_stage(fetch_queries, __doc__)
