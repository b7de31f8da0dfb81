"""What steps on a Ray cluster cost beside local ones: verification, scoring, and pieces that do nothing.

    python -m rsft_assets_tests.benchmarks.ray_speed [--rounds 5] [--json FILE]     # on idle cores
    python -m rsft_assets_tests.benchmarks.ray_speed --size small --rounds 1        # the same table in a few minutes
    python -m rsft_assets_tests.benchmarks.ray_speed verification scoring --size large --rounds 1

Verification judges 20,480 real answers (`RSFT_TEST_DATA`) in two pieces, scoring takes every checkpoint of a run of the
nano study, which is trained first. Each is done in turns by one local process on one core, on one node of one core, and
on two nodes of one core each, every time from nothing. With `--size long` it is 102,400 answers and three runs, with
`--size large` 983,040 answers and six: the launcher itself cuts no pieces of less than five minutes. One node is then
left out.

The nodes are the first and the second core of this machine; the head and the driver take what they need of both.
Counted is the processor time of all: of the steps, of the driver with what starts it, and of the rest of the cluster
(raylets, workers and the head). The last is what the whole machine took, less the others: nothing else may run on it.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.study import load_study
from rsft_assets.steps.records.columns import arrow_schema
from rsft_assets.steps.records.store import Store
from rsft_assets_tests.benchmarks.ray_speed_cluster import Cluster, Cost
from rsft_assets_tests.benchmarks.synthetic_files import ids, table, write
from rsft_assets_tests.benchmarks.verifier_pool import SAMPLES, PoolAnswer, load_pool
from rsft_assets_tests.proof.cases import Bench
from rsft_assets_tests.proof.pipeline import study_file

QUERIES = {"large": 30_720, "long": 3_200, "full": 640, "small": 20}
_AT_MOST = 640
"""Of one draw from the real answers; a second one takes other parts of them."""
SHARDS, EMPTY_SHARDS, PIECES = 16, 8, 2
WAYS = {"local": 0, "one node": 1, "two nodes": 2}
POOL, EMPTY_POOL = "measured_n32", "empty_n1"
NANO_RUNS = [f"nano-300k_nano-cot_lr3e-5_ep1_bs{size}{seed}" for size in (1, 8) for seed in ("", "_seed2", "_seed3")]
RUNS = {"large": 6, "long": 3, "full": 1}
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
origin = {{ name = "calculations", seed = 1, count = {queries} }}
"""


def verification(cluster: Cluster, data: Path, size: str) -> Callable[[int], Cost]:
    count = QUERIES[size]
    draws = (load_pool(data, min(_AT_MOST, count), draw) for draw in range(0, count, _AT_MOST))
    with_answers(cluster, draws, count)

    def once(nodes: int) -> Cost:
        shutil.rmtree(cluster.home / "verdicts", ignore_errors=True)
        return cluster.measure("rsft_assets.steps.verdicts.verify", [f"verdicts/{POOL}"], nodes, PIECES)

    return once


def with_answers(cluster: Cluster, draws: Iterable[Sequence[PoolAnswer]], count: int) -> None:
    """Put the queries and responses of the pool into the home; one draw at a time is in memory."""
    with mock.patch.dict(os.environ, cluster.settings(0, 1)):
        study, store = load_study(), Store(cluster.home)
    names, golds = ids("query", count), []
    keys = study.pools[POOL].shard_keys
    files = [cluster.folder / f"responses-{key}.parquet" for key in keys]
    with contextlib.ExitStack() as stack:
        schema = arrow_schema("responses")
        writers = [stack.enter_context(pq.ParquetWriter(file, schema, compression="zstd")) for file in files]
        for draw in draws:
            drawn = [answer.gold for answer in draw[::SAMPLES]]
            # A question that is drawn again stays in its shard: a process judges equal answers once.
            places = np.array([zlib.crc32(gold.encode()) % len(keys) for gold in drawn])
            for shard, writer in enumerate(writers):
                writer.write_table(_responses(draw, np.flatnonzero(places == shard), names[len(golds) :]))
            golds += drawn
    about = {"query_id": names, "kind": "math", "question": "?", "prompt": "?", "gold": golds, "fields": "{}"}
    with store.build(study, Ref("queries/measured"), seed=1) as build:
        write(build.folder, "queries", {**about, "source_row": np.arange(count)})
        build.publish(stats={"rows": count})
    for key, file in zip(keys, files, strict=True):
        with store.build(study, Ref(f"responses/{POOL}", key), seed=1, engine="real answers") as build:
            rows = pq.read_metadata(file).num_rows
            shutil.move(file, build.folder / "responses.parquet")
            build.publish(stats={"rows": rows})


def _responses(draw: Sequence[PoolAnswer], questions: np.ndarray, names: pa.Array) -> pa.Table:
    """The answers to some questions of a draw."""
    sample, question = np.tile(np.arange(SAMPLES), len(questions)), np.repeat(questions, SAMPLES)
    columns = {
        "response_id": [f"{names[int(q)]}-{s}" for q, s in zip(question, sample, strict=True)],
        "query_id": names.take(pa.array(question)),
        "sample": sample,
        "seed": sample,
        "text": [draw[int(q) * SAMPLES + int(s)].whole for q, s in zip(question, sample, strict=True)],
        "finish_reason": "stop",
        "engine": "real answers",
    }
    return table("responses", columns)


def scoring(cluster: Cluster, size: str) -> Callable[[int], Cost]:
    """All checkpoints of one run or several; they are made here first."""
    asked = ["scores/pico/small-*"]
    if size in RUNS:
        asked = ["scores/nano-300k/*", *(word for run in NANO_RUNS[: RUNS[size]] for word in ("--run", run))]
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
        return cluster.measure("rsft_assets.steps.scores.score", words, nodes, PIECES)

    return once


def in_turns(name: str, once: Callable[[int], Cost], ways: Sequence[str], rounds: int) -> dict[str, list[Cost]]:
    """The same in all these ways, `rounds` times; each round begins with another."""
    found: dict[str, list[Cost]] = {way: [] for way in ways}
    for number in range(rounds):
        first = number % len(ways)
        for way in [*ways[first:], *ways[:first]]:
            found[way].append(once(WAYS[way]))
    print(f"\n{name}, {rounds} rounds: processor time over local, wall time of {ways[-2]} over this")
    for way, costs in found.items():
        wide = [cost.processor / local.processor for cost, local in zip(costs, found["local"], strict=True)]
        fast = [other.wall / cost.wall for cost, other in zip(costs, found[ways[-2]], strict=True)]
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
    parser.add_argument("--size", choices=list(QUERIES), default="full")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    data = Path(os.environ.get("RSFT_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
    if not (data / "math_responses").is_dir():
        print(f"{data}: no real answers there; set RSFT_TEST_DATA to the folder that holds math_responses")
        return 2
    found = {}
    ways = [way for way in WAYS if given.size != "large" or way != "one node"]
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
                once = verification(cluster, data, given.size)
                found["verification"] = in_turns("verification", once, ways, given.rounds)
            if "scoring" in given.parts:
                found["scoring"] = in_turns("scoring", scoring(cluster, given.size), ways, given.rounds)
            if "pieces" in given.parts:
                found["pieces"] = pieces(cluster, given.rounds)
    if given.json:
        given.json.write_text(json.dumps(found, default=asdict, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
