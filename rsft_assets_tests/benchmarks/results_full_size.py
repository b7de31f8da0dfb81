"""The rehearsal at the paper's size: how long the database builds, answers and traces, and in how much memory.

    python -m rsft_assets_tests.benchmarks.results_full_size FOLDER [--runs 35] [--only records|measure]

Makes synthetic records in FOLDER first (minutes, a few GB; kept for the next time), unless told to measure only on
a quiet machine what an earlier call with `--only records` made. The last run's last
checkpoint is held back, to measure building again after one new checkpoint.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from rsft_assets.specs.lineage import score_ref
from rsft_assets.specs.study import load_study
from rsft_assets.specs.training import Run
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.results.publishing import database_path, open_results
from rsft_assets_tests.benchmarks.full_size_records import FullSize

QUERIES = {
    "scores of one run": "FROM marts.benchmark_scores WHERE run = 'qwen3-14b_math-cot-20k_lr5e-5_ep8_bs256'",
    "all trajectories": "SELECT run, benchmark, step, value, difference_low FROM marts.score_trajectories",
    "dips beyond noise": "SELECT * FROM marts.dip_and_recovery WHERE is_dip_beyond_noise",
    "hardest items, all runs": "SELECT item_id, avg(value) v FROM staging.item_scores GROUP BY 1 ORDER BY v LIMIT 20",
    "one item everywhere": "SELECT * FROM staging.item_scores WHERE item_id = (SELECT min(item_id) FROM records.items)",
    "graded rows by reason": "SELECT grader, reason, count(*) FROM records.graded GROUP BY ALL",
    "yield": "FROM marts.data_yield",
    "verdicts of one query": "FROM records.verdicts WHERE query_id = (SELECT min(query_id) FROM records.queries)",
}
LIMITS = {"build from nothing": 180.0, "query": 1.0, "trace": 2.0, "memory": 4.0}
_MEASURED = """
import json, resource, sys, time
from pathlib import Path
from rsft_assets.specs.study import load_study
from rsft_assets.steps.records.store import Store
started = time.perf_counter()
what, home = sys.argv[1], Path(sys.argv[2])
if what == "trace":
    from rsft_assets.steps.questions.trace import trace
    node = trace(load_study(), Store(home), *sys.argv[3:])
    said = {"nodes": len(list(node.walk())), "problems": node.problems[:3]}
else:
    from rsft_assets.steps.results.build import build_results
    results = build_results(load_study(), Store(home), force=what == "anew")
    slow = sorted(results.tables, key=lambda t: -t.seconds)[:6]
    said = {"failures": results.failures, "problems": results.problems[:3],
            "slowest": [f"{t.schema}.{t.name} {t.seconds} s {t.state} {t.rows} rows" for t in slow],
            "tests": {t.name: t.state for t in results.tests if t.state != "passed"}}
said["seconds"] = round(time.perf_counter() - started, 2)
said["gigabytes"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
print(json.dumps(said))
"""


def measured(what: str, home: Path, *more: str) -> dict[str, object]:
    done = subprocess.run([sys.executable, "-c", _MEASURED, what, str(home), *more], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return json.loads(done.stdout.splitlines()[-1])


def line(what: str, seconds: object, limit: object = "", more: object = "") -> None:
    print(f"{what:<34} {seconds!s:>9} s   limit {limit!s:>6}   {more}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=35)
    parser.add_argument("--only", choices=("records", "measure"))
    arguments = parser.parse_args()
    study, store = load_study(), Store(arguments.folder)
    full = FullSize(study, store)
    runs = full.runs()[: arguments.runs]
    if arguments.only != "measure":
        started = time.perf_counter()
        full.data()
        for run in runs:
            full.run(run)
        line("synthetic records", round(time.perf_counter() - started, 1))
    if arguments.only != "records":
        measure(full, store, runs[-1])


def measure(full: FullSize, store: Store, last: Run) -> None:
    """Build from nothing, again, after one more checkpoint; queries; traces."""
    with _without(_slots(full, last), store.home):
        first = measured("anew", store.home)
        line("build from nothing", first["seconds"], LIMITS["build from nothing"], f"{first['gigabytes']} GB of 4")
        print(json.dumps(first, indent=1))
        again = measured("again", store.home)
        line("build again, nothing new", again["seconds"], "", f"{again['gigabytes']} GB")
    one = measured("again", store.home)
    line("build again, one checkpoint", one["seconds"], "", f"{one['gigabytes']} GB, {one['slowest']}")
    _queries(store)
    _traces(full, store)
    print(f"database: {database_path(store).stat().st_size / 2**20:.0f} MB")


@contextlib.contextmanager
def _without(slots: list[Path], home: Path) -> Iterator[None]:
    """Takes these folders away, and puts them back whatever happens."""
    for number, slot in enumerate(slots):
        slot.rename(home / f"held-back-{number}")
    try:
        yield
    finally:
        for number, slot in enumerate(slots):
            (home / f"held-back-{number}").rename(slot)


def _slots(full: FullSize, run: Run) -> list[Path]:
    """The folders of the scores of a run's last checkpoint."""
    last = full.study.steps_of(run)[-1]
    return [full.store.slot(score_ref(run, last, name)) for name in full.items]


def _queries(store: Store) -> None:
    with open_results(store) as db:
        rows = db.execute("SELECT count(*) FROM records.graded").fetchall()[0][0]
        print(f"graded rows: {rows:,}")
        for what, query in QUERIES.items():
            started = time.perf_counter()
            count = len(db.execute(query).fetchall())
            line(f"query: {what}", round(time.perf_counter() - started, 3), LIMITS["query"], f"{count} rows")


def _traces(full: FullSize, store: Store) -> None:
    run = full.runs()[0]
    last = full.study.steps_of(run)[-1]
    item, query = full.items["math500"][7].as_py(), full.query_ids[100].as_py()
    cases = {
        "down from a score": (f"scores/{run.model}/math500", f"{run.name}|{last}"),
        "down from a score's item": (f"scores/{run.model}/math500", f"{run.name}|{last}", item),
        "up from a query": (query,),
        "up from a response": (f"{query}-0",),
        "up from an item": (item,),
    }
    for what, words in cases.items():
        said = measured("trace", store.home, *words)
        line(f"trace: {what}", said["seconds"], LIMITS["trace"], f"{said['nodes']} places {said['problems']}")


if __name__ == "__main__":
    main()
