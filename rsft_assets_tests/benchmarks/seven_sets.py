"""The paper's seven training sets at full row counts: every data step for real, with seconds and memory of each.

    python -m rsft_assets_tests.benchmarks.seven_sets --home /tmp/seven [--queries 44000 --samples 4 --characters 2000]

Sources, benchmarks and sets are the declared ones, read from a made-up mirror in the layouts of the hub; only Qwen3-32B
is replaced, by a procedure that knows the answers, and draws fewer samples. Queries are fetched, responses generated
or taken over, verified, and the sets built and checked. Each step runs in a process of its own.
"""

import argparse
import logging
import multiprocessing
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from rsft_assets.specs import nano, paper
from rsft_assets.specs.hub import Generator
from rsft_assets.specs.lineage import Ref, partitions_of
from rsft_assets.specs.study import Study, combine, tables_of
from rsft_assets_tests.benchmarks.seven_sets_mirror import ITEMS, Mirror

SETS = tuple(dataset.name for dataset in paper.DATASETS)
_TEACHERS = {"openr1-math-220k": "knows-math", "countdown-3to4": "knows-countdown"}


def study_with(samples: int) -> Study:
    """The study as it is declared, its teacher model replaced."""

    def taught(pool: Any) -> Any:
        if pool.adopted:
            return pool
        origin = Generator(name=_TEACHERS[pool.source], seed=1, count=samples)
        teacher = replace(pool.teacher, name="procedural", origin=origin)
        return replace(pool, teacher=teacher, sampling=replace(pool.sampling, n=samples))

    tables = {**tables_of(paper), "pools": tuple(map(taught, paper.POOLS))}
    return combine([("paper", tables), ("nano", tables_of(nano))])


def run(study: Study, asset: str) -> dict[str, Any]:
    """One asset with all its partitions; what its manifests count."""
    from rsft_assets.steps.benchmarks.lock import lock_benchmark
    from rsft_assets.steps.datasets.build import build_dataset
    from rsft_assets.steps.queries.fetch import fetch_queries
    from rsft_assets.steps.records.store import Store
    from rsft_assets.steps.responses.generate import generate
    from rsft_assets.steps.verdicts.verify import verify

    store, ref = Store.from_env(), Ref(asset)
    refs = [Ref(asset, key) for key in partitions_of(study, asset)]
    if ref.stage == "responses":
        return _summed(generate(study, store, refs))
    if ref.stage == "verdicts":
        return _summed(verify(study, store, refs))
    step: Callable[..., Any] = {
        "queries": fetch_queries,
        "benchmarks": lock_benchmark,
        "datasets": build_dataset,
    }[ref.stage]
    stats: dict[str, Any] = step(study, store, ref).stats
    return stats


def _summed(outputs: list[Any]) -> dict[str, Any]:
    verdicts: Counter[str] = Counter()
    for output in outputs:
        verdicts.update(output.stats.get("verdicts", {}))
    return {"rows": sum(output.stats["rows"] for output in outputs), "verdicts": dict(sorted(verdicts.items()))}


def measured(work: Callable[..., dict[str, Any]], *arguments: Any) -> tuple[dict[str, Any], float, int]:
    """A piece of work in a forked process: its result, seconds and peak MB, its own workers' apart."""
    ours, theirs = multiprocessing.Pipe(duplex=False)

    def child() -> None:
        result = work(*arguments)
        theirs.send((result, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024))

    started = time.monotonic()
    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    theirs.close()
    try:
        result, peak = ours.recv()
    except EOFError:
        sys.exit("a step failed; its message is above")
    process.join()
    return result, time.monotonic() - started, peak


def check(study: Study) -> dict[str, Any]:
    """The asset checks of every set, and what they promise counted once more from the rows."""
    from rsft_assets.defs.checks import dataset_check_results
    from rsft_assets.steps.records.rows import read_rows
    from rsft_assets.steps.records.store import Store

    store = Store.from_env()
    rows, queries = {}, {}
    for name in SETS:
        output = store.require(Ref(f"datasets/{name}"))
        assert all(result.passed for result in dataset_check_results(output)), output.stats["checks"]
        examples = list(read_rows(output.file("examples.parquet"), ["query_id", "question", "response", "verdict"]))
        rows[name], queries[name] = len(examples), [row["query_id"] for row in examples]
        assert len(set(queries[name])) == len(examples) == study.datasets[name].rows
        tagged = [row["response"].count("</think>") for row in examples]
        assert set(tagged) == {int(study.datasets[name].thinking)}
    math = store.require(Ref("queries/openr1-math-220k")).file("queries.parquet")
    items = {row["query_id"] for row in read_rows(math, ["query_id", "source_row"]) if row["source_row"] < ITEMS}
    assert len(items) == ITEMS and not items & {query for name in SETS for query in queries[name]}
    assert queries["math-nocot-20k"] == queries["numinamath-20k"] == queries["math-cot-20k"]
    assert queries["math-cot-2.5k"] == queries["math-cot-20k"][: rows["math-cot-2.5k"]]
    return rows


def build_all(home: Path, mirror: Mirror, samples: int, say: Callable[[str], None]) -> dict[str, Any]:
    """From the mirror to seven checked sets; seconds and memory are said as they come."""
    from rsft_assets.steps.nano.teacher import PROCEDURES

    os.environ |= {"RSFT_HOME": str(home / "home"), "RSFT_MIRROR": str(home / "mirror")}
    PROCEDURES.update(mirror.procedures())
    study = study_with(samples)
    (home / "mirror").mkdir(parents=True)
    measured(lambda: mirror.write(home / "mirror") or {})  # type: ignore[func-returns-value]
    pools = [pool.name for pool in paper.POOLS]
    building = 0.0
    for asset in (
        *(f"queries/{source.name}" for source in paper.SOURCES),
        *(f"benchmarks/{benchmark.name}" for benchmark in paper.BENCHMARKS),
        *(f"{stage}/{pool}" for pool in pools for stage in ("responses", "verdicts")),
        *(f"datasets/{name}" for name in SETS),
    ):
        stats, seconds, peak = measured(run, study, asset)
        building += seconds if asset.startswith("datasets/") else 0
        if stats.get("access") != "none":
            mix = " ".join(f"{name} {count:,}" for name, count in stats.get("verdicts", {}).items())
            say(f"{asset:40} {stats.get('rows', stats.get('items')):9,} {seconds:7.1f} s {peak:6,} MB  {mix}")
    say(f"{'all seven sets':50} {building:7.1f} s")
    rows, seconds, _ = measured(check, study)
    say(f"{'checks of all sets':50} {seconds:7.1f} s")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True, help="an empty folder")
    parser.add_argument("--queries", type=int, default=44_000)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--characters", type=int, default=2_000)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    mirror = Mirror(arguments.queries, arguments.characters)
    build_all(arguments.home, mirror, arguments.samples, lambda line: print(line, flush=True))


if __name__ == "__main__":
    main()
