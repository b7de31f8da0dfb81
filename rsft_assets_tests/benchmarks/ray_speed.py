"""What steps on a Ray cluster cost beside local ones: verification, scoring, and pieces that do nothing.

    python -m rsft_assets_tests.benchmarks.ray_speed [--rounds 5] [--json FILE]     # on idle cores
    python -m rsft_assets_tests.benchmarks.ray_speed --size small --rounds 1        # the same table in a few minutes

Verification judges 20,480 real answers (`RSFT_TEST_DATA`) in two pieces of 10,240; scoring takes every checkpoint of a
run of the nano study, which is trained first. Each is done in turns by one local process on one core, on one node of
one core, and on two nodes of one core each, every time from nothing. The nodes are the first and the second core of
this machine; the head and the driver take what they need of both. Counted is the processor time of all: steps, the
driver with what starts it, the rest of the nodes (raylets and workers), and the head.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.study import load_study
from rsft_assets.steps.records.store import Build, Store
from rsft_assets_tests.benchmarks.synthetic_files import ids, write
from rsft_assets_tests.benchmarks.verifier_pool import SAMPLES, PoolAnswer, load_pool
from rsft_assets_tests.proof.cases import Bench
from rsft_assets_tests.proof.pipeline import study_file
from rsft_assets_tests.proof.ray_cluster import end_ray
from rsft_assets_tests.ray_rig import ADDRESS, Host, RayRig

QUERIES = {"full": 640, "small": 20}
SHARDS, EMPTY_SHARDS = 2, 8
POOL, EMPTY_POOL = "measured_n32", "empty_n1"
NANO_RUN = "nano-300k_nano-cot_lr1e-4_ep1_bs2"
_POOL = """
[pools.{name}]
source = "measured"
shards = {shards}
teacher = {{ name = "procedural", origin = {{ name = "worked-steps", seed = 1, count = 4 }} }}
sampling = {{ n = {n}, max_tokens = 160, seed = 1 }}
"""
_SOURCE = """
[sources.measured]
kind = "math"
instruction = ""
origin = {{ name = "running", seed = 1, count = {queries} }}
"""
_LAUNCH = """
import sys
from pathlib import Path
from rsft_assets.defs.launchers import StepCall, launch
from rsft_assets.specs.placement import load_placement
home, module, *words = sys.argv[1:]
for event in launch(load_placement(), StepCall(module, tuple(words), Path(home), "measured")):
    pass
"""
_MEASURED = """
import atexit, os, resource, runpy, sys, uuid
from pathlib import Path

def write():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    folder = Path(os.environ["RSFT_HOME"], "measured")
    folder.mkdir(exist_ok=True)
    (folder / uuid.uuid4().hex).write_text(str(sum(one.ru_utime + one.ru_stime for one in used)))

if module := os.environ["RSFT_MEASURED"]:
    atexit.register(write)
    runpy.run_module(module, run_name="__main__", alter_sys=True)
"""
"""A step that says what it took, or with an empty name does nothing."""
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """Seconds of one step: by the clock, and of processor time."""

    wall: float
    steps: float
    driver: float
    nodes: float = 0.0
    head: float = 0.0

    @property
    def processor(self) -> float:
        return self.steps + self.driver + self.nodes + self.head


class Cluster:
    """A head and two nodes of one core; the second takes part where it is asked to."""

    def __init__(self, folder: Path, study: Path) -> None:
        self.folder, self.home, self.study = folder, folder / "home", study
        self.rig = RayRig(folder)
        (folder / "measured_step.py").write_text(_MEASURED)

    def __enter__(self) -> "Cluster":
        self.rig.__enter__()
        try:
            last = len(os.sched_getaffinity(0)) - 1
            for core, name in enumerate(("one", "two")):
                self.rig.add(name, cores=1, on_core=min(core, last))
        except BaseException:
            self.rig.__exit__()
            raise
        return self

    def __exit__(self, *problem: object) -> None:
        self.rig.__exit__(*problem)

    def settings(self, nodes: int, pieces: int) -> dict[str, str]:
        """The environment of a step on so many nodes; 0: here, on the first core."""
        path = self.folder / f"placement-{nodes}-{pieces}.toml"
        ray = f'launcher = "ray"\nray_address = "{ADDRESS}"\nray_pieces = {pieces}\n' if nodes else ""
        path.write_text(f"[default]\nworkers = 1\nruns = 1\n{ray}")
        named = {"RSFT_HOME": self.home, "RSFT_STUDY": self.study, "RSFT_PLACEMENT": path}
        return {name: str(value) for name, value in named.items()}

    def take_part(self, nodes: int) -> None:
        """Let so many nodes be in the cluster."""
        two = self.rig.hosts["two"]
        at_work = two.ray is not None and two.ray.poll() is None
        if nodes < 2 and at_work:
            end_ray(two)
        elif nodes == 2 and not at_work:
            self.rig.join(two)

    def measure(self, module: str, words: Sequence[str], nodes: int, pieces: int) -> Cost:
        shutil.rmtree(self.home / "measured", ignore_errors=True)
        self.take_part(max(1, nodes))
        here = () if nodes else ("taskset", "--cpu-list", "0")
        command = [*here, sys.executable, "-c", _LAUNCH, str(self.home), "measured_step", *words]
        before, started = self._used(), time.perf_counter()
        process = self.rig.start(command, **self.settings(nodes, pieces), RSFT_MEASURED=module)
        said = process.stdout.read() if process.stdout else ""
        _, status, used = os.wait4(process.pid, 0)
        wall, after = time.perf_counter() - started, self._used()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise SystemExit(said)
        steps = sum(float(path.read_text()) for path in (self.home / "measured").glob("*"))
        around = used.ru_utime + used.ru_stime - (0.0 if nodes else steps)
        if not nodes:
            return Cost(wall, steps, around)
        grown = {name: after[name] - before[name] for name in after}
        return Cost(wall, steps, around, grown["one"] + grown["two"] - steps, grown["head"])

    def _used(self) -> dict[str, float]:
        return {name: used_by(host) for name, host in self.rig.hosts.items()}


def used_by(host: Host) -> float:
    """Processor seconds of all that runs on a host, and of what has ended there and was waited for."""
    ticks = 0
    for process in {*host.processes(), *host.first.children()}:
        try:
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(map(int, fields[11:15]))
    return ticks / _TICK


def with_answers(cluster: Cluster, answers: Sequence[PoolAnswer]) -> None:
    """Put the queries and responses of the pool into the home."""
    with mock.patch.dict(os.environ, cluster.settings(0, 1)):
        study, store = load_study(), Store(cluster.home)
    golds = [answer.gold for answer in answers[::SAMPLES]]
    names = ids("query", len(golds))
    about = {"query_id": names, "kind": "math", "question": "?", "prompt": "?", "gold": golds, "fields": "{}"}
    fill(study, store, Ref("queries/measured"), "queries", {**about, "source_row": np.arange(len(golds))})
    for shard in range(SHARDS):
        mine = np.arange(shard, len(golds), SHARDS)
        sample, query = np.tile(np.arange(SAMPLES), len(mine)), np.repeat(mine, SAMPLES)
        columns = {
            "response_id": [f"{names[int(q)]}-{s}" for q, s in zip(query, sample, strict=True)],
            "query_id": names.take(pa.array(query)),
            "sample": sample,
            "seed": sample,
            "text": [answers[int(q) * SAMPLES + int(s)].whole for q, s in zip(query, sample, strict=True)],
            "finish_reason": "stop",
            "engine": "real answers",
        }
        fill(study, store, Ref(f"responses/{POOL}", str(shard)), "responses", columns)


def fill(study, store: Store, ref: Ref, kind: str, columns: Mapping[str, object]) -> None:
    with store.build(study, ref, seed=1, engine="real answers") as build:
        if build.finished is None:
            write(build.folder, kind, dict(columns))
            build.publish(stats={"rows": rows_of(build)})


def rows_of(build: Build) -> int:
    [path] = build.folder.glob("*.parquet")
    return pq.read_metadata(path).num_rows


def verification(cluster: Cluster, data: Path, size: str) -> Callable[[int], Cost]:
    with_answers(cluster, load_pool(data, QUERIES[size]))

    def once(nodes: int) -> Cost:
        shutil.rmtree(cluster.home / "verdicts", ignore_errors=True)
        return cluster.measure("rsft_assets.steps.verdicts.verify", [f"verdicts/{POOL}"], nodes, SHARDS)

    return once


def scoring(cluster: Cluster, size: str) -> Callable[[int], Cost]:
    """All checkpoints of a run; they are made here first."""
    asked = ["scores/pico/small-*"] if size == "small" else ["scores/nano-300k/*", "--run", NANO_RUN]
    make = [sys.executable, "-m", "rsft_assets.commands.cli", "materialize", *asked, "--upstream"]
    status, said = cluster.rig.run(make, 7_200.0, **cluster.settings(0, 1))
    if status != 0:
        raise SystemExit(said)
    refs = [output.manifest.ref for output in Store(cluster.home).outputs() if output.manifest.ref.stage == "scores"]
    words = sorted({ref.asset for ref in refs})
    words += [word for key in sorted({ref.partition for ref in refs}) for word in ("--partition", key)]

    def once(nodes: int) -> Cost:
        for part in ("scores", "completions"):
            shutil.rmtree(cluster.home / part, ignore_errors=True)
        return cluster.measure("rsft_assets.steps.scores.score", words, nodes, SHARDS)

    return once


def in_turns(name: str, once: Callable[[int], Cost], rounds: int) -> dict[str, list[Cost]]:
    """The same local, on one node and on two, `rounds` times; each round begins with another."""
    ways = {"local": 0, "one node": 1, "two nodes": 2}
    found: dict[str, list[Cost]] = {way: [] for way in ways}
    for number in range(rounds):
        order = list(ways)[number % 3 :] + list(ways)[: number % 3]
        for way in order:
            found[way].append(once(ways[way]))
    print(f"\n{name}, {rounds} rounds: processor time over local, wall time of one node over this")
    for way, costs in found.items():
        wide = [cost.processor / local.processor for cost, local in zip(costs, found["local"], strict=True)]
        fast = [one.wall / cost.wall for cost, one in zip(costs, found["one node"], strict=True)]
        print(f"  {way:9}  processor x {spread(wide)}  speed x {spread(fast)}  {described(costs)}", flush=True)
    return found


def pieces(cluster: Cluster, rounds: int) -> dict[str, list[Cost]]:
    """A step that does nothing: local, in one piece, and in eight."""
    found: dict[str, list[Cost]] = {"local": [], "one piece": [], "eight pieces": []}
    for _ in range(rounds):
        for (nodes, number), costs in zip(((0, 1), (1, 1), (1, EMPTY_SHARDS)), found.values(), strict=True):
            costs.append(cluster.measure("", [f"responses/{EMPTY_POOL}"], nodes, number))
    print(f"\na step that does nothing, {rounds} rounds")
    for way, costs in found.items():
        print(f"  {way:12}  {described(costs)}")
    for clock in ("wall", "processor"):
        local, one, eight = ([getattr(cost, clock) for cost in costs] for costs in found.values())
        of_step = [a - b for a, b in zip(one, local, strict=True)]
        of_piece = [(a - b) / (EMPTY_SHARDS - 1) for a, b in zip(eight, one, strict=True)]
        print(f"  {clock}: Ray takes {spread(of_step)} s for a step, {spread(of_piece)} s for each further piece")
    return found


def described(costs: Sequence[Cost]) -> str:
    """Medians of all parts."""
    middle = {name: statistics.median(asdict(cost)[name] for cost in costs) for name in asdict(costs[0])}
    parts = ", ".join(f"{name} {seconds:.1f}" for name, seconds in middle.items() if name != "wall" and seconds)
    return f"wall {middle['wall']:.1f} s, processor: {parts} s"


def spread(numbers: Sequence[float]) -> str:
    return f"{statistics.median(numbers):.2f} ({min(numbers):.2f} to {max(numbers):.2f})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    about = "verification, scoring, pieces; default: all"
    parser.add_argument("parts", nargs="*", metavar="PART", default=["verification", "scoring", "pieces"], help=about)
    parser.add_argument("--size", choices=["full", "small"], default="full")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    data = Path(os.environ.get("RSFT_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
    if not (data / "math_responses").is_dir():
        print(f"{data}: no real answers there; set RSFT_TEST_DATA to the folder that holds math_responses")
        return 2
    found = {}
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        study = study_file(Bench(folder, 0))
        pools = [
            _POOL.format(name=POOL, shards=SHARDS, n=SAMPLES),
            _POOL.format(name=EMPTY_POOL, shards=EMPTY_SHARDS, n=1),
        ]
        study.write_text(study.read_text() + _SOURCE.format(queries=QUERIES[given.size]) + "".join(pools))
        with Cluster(folder, study) as cluster:
            if "verification" in given.parts:
                found["verification"] = in_turns("verification", verification(cluster, data, given.size), given.rounds)
            if "scoring" in given.parts:
                found["scoring"] = in_turns("scoring", scoring(cluster, given.size), given.rounds)
            if "pieces" in given.parts:
                found["pieces"] = pieces(cluster, given.rounds)
    if given.json:
        given.json.write_text(json.dumps(found, default=asdict, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
