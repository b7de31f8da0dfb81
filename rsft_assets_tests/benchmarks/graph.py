"""What the graph costs: starting, and recording a partition. Each beside its alternative, in one run.

    python -m rsft_assets_tests.benchmarks.graph [--partitions 104] [--repeat 3]

Loading `rsft_assets.definitions` and commands that run nothing are set beside `import dagster` alone, in fresh
interpreters: processor time, which depends less on what else runs. A finished partition inside one range is set beside
the same partition as a Dagster run of its own, and both beside Dagster's event log as it comes, which makes a database
engine for every event.
"""

import argparse
import contextlib
import itertools
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import dagster as dg
from dagster._core.storage.event_log.sqlite import sqlite_event_log

from rsft_assets_tests.stand_ins import stand_in

OWN = """
extends = "nano"
[models.bench]
family = "qwen3"
parameters = 1000
needs_gpu = false
origin = { repo = "me/bench", revision = "0123456789abcdef0123456789abcdef01234567" }
[schedules.many]
lr = 1e-3
epochs = 100
batch_size = 64
grid = [%s]
[[runs]]
model = "bench"
dataset = "nano-cot"
schedule = "many"
"""


KEPT, PLAIN = "engines kept", "an engine for every event"
RSFT = ("-m", "rsft_assets.commands.cli")
CELL = ("scores/qwen3-14b/math500", "--run", "qwen3-14b_math-cot-20k_lr5e-5_ep8_bs256", "--step", "640")
STARTS = {
    "import dagster": ("-c", "import dagster"),
    "loading definitions": ("-c", "import rsft_assets.definitions"),
    "rsft --help": (*RSFT, "--help"),
    "rsft plan of one cell": (*RSFT, "plan", *CELL),
    "the answer to a typo": (*RSFT, "plan", "scores/qwen3-14b/math5000"),
}
"""What is started -> arguments of Python; all are compared with the first."""


def processor_seconds(arguments: tuple[str, ...], home: str) -> float:
    """User and system time of a fresh interpreter, which keeps compiled files as an installed one does."""
    environment = {**os.environ, "RSFT_HOME": home}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode in (0, 2), done.stderr
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def print_starts(repeat: int) -> None:
    """A line for each of `STARTS`; a first round fills the caches and is not counted."""
    with tempfile.TemporaryDirectory() as home:
        rounds = [{name: processor_seconds(words, home) for name, words in STARTS.items()} for _ in range(repeat + 1)]
    reference = next(iter(STARTS))
    base = statistics.median(each[reference] for each in rounds[1:])
    for name in STARTS:
        found = [each[name] for each in rounds[1:]]
        middle = statistics.median(found)
        print(
            f"{name}: {middle:.2f} s of processor time ({min(found):.2f} to {max(found):.2f}), "
            f"{middle / base:.2f} times `{reference}`"
        )


def partition_seconds(home: Path, partitions: int) -> tuple[float, float]:
    """(seconds of one more finished partition in a range, seconds of one partition as a run of its own)."""
    from rsft_assets.defs.placing import PLACEMENT_RESOURCE
    from rsft_assets.defs.stages import stage_assets
    from rsft_assets.runs.instance import open_instance
    from rsft_assets.runs.running import run_batches
    from rsft_assets.specs.lineage import Ref, asset_keys, partitions_of
    from rsft_assets.specs.study import load_study
    from rsft_assets.steps.questions.planning.batches import Batch
    from rsft_assets.steps.records.store import Store

    study, store = load_study(), Store(home)
    asset = "checkpoints/bench"
    cells = partitions_of(study, asset)[:partitions]
    upstream = [key for key in asset_keys(study) if key.split("/")[1].startswith(("nano", "bench"))]
    made = [Ref(key, p) for key in upstream if Ref(key).stage != "scores" for p in partitions_of(study, key) or ("",)]
    for ref in made:
        if ref.stage == "checkpoints" and (ref.asset != asset or ref.partition not in cells):
            continue
        with store.build(study, ref) as build:
            if build.finished is None:
                stand_in(build.folder, ref)
                build.publish()
    definitions = dg.Definitions(assets=stage_assets(study), resources=PLACEMENT_RESOURCE)

    def run(batches: list[Batch]) -> float:
        with open_instance(store) as instance:
            started = time.perf_counter()
            for result in run_batches(definitions, instance, batches):
                assert result.ok, result.problem
            return time.perf_counter() - started

    run([Batch((asset,), cells[:1])])
    one = run([Batch((asset,), cells[:1])])
    many = run([Batch((asset,), cells)])
    return (many - one) / (len(cells) - 1), one


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--partitions", type=int, default=104)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    print_starts(arguments.repeat)
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "own.toml"
        study.write_text(OWN % ", ".join(map(str, range(1, arguments.partitions))))
        os.environ |= {"RSFT_STUDY": str(study), "RSFT_HOME": f"{folder}/home"}
        os.environ.pop("DAGSTER_HOME", None)
        real = sqlite_event_log.create_engine
        found: dict[str, list[tuple[float, float]]] = {KEPT: [], PLAIN: []}
        for _, (name, took) in itertools.product(range(arguments.repeat), found.items()):
            with contextlib.ExitStack() as patches:
                patches.enter_context(mock.patch.object(sqlite_event_log, "create_engine", real))
                if name == PLAIN:
                    patches.enter_context(mock.patch("rsft_assets.defs.materializing.keep_sqlite_engines"))
                took.append(partition_seconds(Path(folder) / "home", arguments.partitions))
    for name, took in found.items():
        each, alone = zip(*took, strict=True)
        print(
            f"a finished partition in a range, {name}: {1000 * statistics.median(each):.1f} ms "
            f"({1000 * min(each):.1f} to {1000 * max(each):.1f}); as a run of its own: "
            f"{1000 * statistics.median(alone):.0f} ms"
        )
    ratios = [slow / fast for (fast, _), (slow, _) in zip(found[KEPT], found[PLAIN], strict=True)]
    print(f"{KEPT}: {statistics.median(ratios):.1f} times as fast ({min(ratios):.1f} to {max(ratios):.1f})")


if __name__ == "__main__":
    main()
