"""Lock a benchmark: its published or generated items in, `items.parquet` out, counted and hashed.

    python -m rsft_assets.steps.benchmarks.lock benchmarks/nano-math-test

A benchmark without access is a state, not an error: the output then holds no items and the cause is in
`stats.access` ("open" or "none") and `stats.reason`. A wrong number of items is an error.
"""

import hashlib
import json
import logging
from collections import Counter
from typing import Any

from rsft_assets.specs.benchmarks import Benchmark
from rsft_assets.specs.errors import StepError, Unavailable
from rsft_assets.specs.fingerprint import SHORT
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.study import Study
from rsft_assets.steps.benchmarks.items import read_items
from rsft_assets.steps.records.rows import RowWriter
from rsft_assets.steps.records.stage import run_stage
from rsft_assets.steps.records.store import Build, Output, Store
from rsft_assets.steps.scores.grading.task import Locked

log = logging.getLogger(__name__)


def lock_benchmark(study: Study, store: Store, ref: Ref, *, force: bool = False) -> Output:
    """Lock one benchmark, or find it locked."""
    benchmark: Benchmark = study.get("benchmarks", ref.name)
    before = _before(store, ref)
    # Asking again is the only way to learn that access has been given.
    without = before if before is not None and before.stats.get("access") == "none" else None
    with store.build(study, ref, force=force or without is not None) as build:
        if build.finished is None:
            stats = _lock(build, benchmark)
            if (
                stats["access"] == "none"
                and before is not None
                and before.manifest.fingerprint == build.identity.fingerprint
            ):
                if before is not without:
                    raise StepError(f"{ref}: {stats['reason']}; the items that were locked before are kept")
                if stats["reason"] == before.stats["reason"]:
                    log.warning("%s: still no access", ref)
                    build.finished = before
            if build.finished is None:
                build.publish(stats={**stats, **_changed(ref, before, stats)})
    return build.output


def _before(store: Store, ref: Ref) -> Output | None:
    try:
        return store.current(ref)
    except StepError:
        return None  # a damaged output is made again anyway


def _changed(ref: Ref, before: Output | None, stats: dict[str, Any]) -> dict[str, Any]:
    """Warn if a benchmark that is locked again has other items than before."""
    old, new = before.stats.get("content_sha256") if before else None, stats.get("content_sha256")
    if old is None or new is None or old == new:
        return {}
    log.warning("%s: its items are not those that were locked before (%.12s -> %.12s)", ref, old, new)
    return {"content_before": old}


def _lock(build: Build, benchmark: Benchmark) -> dict[str, Any]:
    path = build.folder / "items.parquet"
    try:
        with RowWriter(path, "items") as rows:
            stats = _write(rows, benchmark)
    except Unavailable as error:
        log.warning("benchmarks/%s: no access: %s", benchmark.name, error)
        with RowWriter(path, "items"):
            return {"access": "none", "reason": str(error), "items": 0}
    if benchmark.items is not None and stats["items"] != benchmark.items:
        raise StepError(
            f"benchmarks/{benchmark.name}: {stats['items']} items where {benchmark.items} are declared; "
            f"check revision, configuration and split, or declare yours: [override.benchmarks.{benchmark.name}] items"
        )
    return stats


def _write(rows: RowWriter, benchmark: Benchmark) -> dict[str, Any]:
    seen: Counter[str] = Counter()
    categories: Counter[str] = Counter()
    content = hashlib.sha256()
    for position, item in enumerate(read_items(benchmark)):
        identity = item_id(item)
        seen[identity] += 1
        # A subset drawn with replacement holds an item twice; each copy is an item of its own.
        again = seen[identity]
        row = {
            "item_id": identity if again == 1 else f"{identity}.{again}",
            "position": position,
            "question": item.question,
            "gold": item.gold,
            "category": item.category,
            "fields": _fields(item),
        }
        rows.add(row)
        content.update(identity.encode())
        categories[item.category or "none"] += 1
    return {
        "access": "open",
        "items": rows.rows,
        "repeated_items": seen.total() - len(seen),
        "categories": dict(sorted(categories.items())),
        "content_sha256": content.hexdigest(),
    }


def item_id(item: Locked) -> str:
    """The same content has the same id everywhere."""
    text = json.dumps([item.question, item.gold, item.category, _fields(item)], ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[: SHORT + 4]


def _fields(item: Locked) -> str:
    return json.dumps(item.fields, ensure_ascii=False, sort_keys=True, default=str)


if __name__ == "__main__":
    run_stage(lock_benchmark, __doc__)
