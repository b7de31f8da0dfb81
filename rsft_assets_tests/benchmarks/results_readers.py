"""A hundred processes hold `results.duckdb` open while it is built and published fifty times: errors on either side.

Each opens it read-only, asks, holds it open for some seconds, asks again, and opens it anew.

python -m rsft_assets_tests.benchmarks.results_readers FOLDER [--readers 100] [--publishes 50]
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from rsft_assets.steps.records.store import Store
from rsft_assets.steps.results.build import build_results
from rsft_assets.steps.results.publishing import database_path
from rsft_assets_tests.finished_study import finish, tiny_study

_READER = """
import json, os, random, sys, time
import duckdb
place, stop, parent = sys.argv[1], sys.argv[2], os.getppid()
opened, errors, builds = 0, [], set()
while not os.path.exists(stop) and os.getppid() == parent:
    try:
        with duckdb.connect(place, read_only=True) as db:
            builds.add(db.execute("SELECT count(*) FROM marts.benchmark_scores").fetchall()[0][0])
            time.sleep(random.uniform(2, 6))
            db.execute("SELECT run, max(value) FROM marts.score_trajectories GROUP BY run").fetchall()
        opened += 1
    except Exception as error:
        errors.append(str(error)[:200])
print(json.dumps({"opened": opened, "errors": errors[:3], "failed": len(errors), "counts": sorted(builds)}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--readers", type=int, default=100)
    parser.add_argument("--publishes", type=int, default=50)
    arguments = parser.parse_args()
    study, store = tiny_study(), Store(arguments.folder)
    finish(study, store)
    build_results(study, store)
    stop = store.home / ".stop-reading"
    stop.unlink(missing_ok=True)
    command = [sys.executable, "-c", _READER, str(database_path(store)), str(stop)]
    readers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(arguments.readers)]
    started, failures = time.perf_counter(), 0
    for i in range(arguments.publishes):
        failures += len(build_results(study, store, force=i % 2 == 0).failures)
    seconds = time.perf_counter() - started
    stop.touch()
    said = [json.loads(reader.communicate()[0]) for reader in readers]
    opened, failed = sum(one["opened"] for one in said), sum(one["failed"] for one in said)
    print(f"{arguments.publishes} publishes in {seconds:.1f} s, {failures} failures")
    words = [error for one in said for error in one["errors"]][:3]
    print(f"{arguments.readers} readers opened it {opened} times, {failed} errors {words}")


if __name__ == "__main__":
    main()
