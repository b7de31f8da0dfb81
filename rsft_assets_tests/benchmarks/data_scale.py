"""Training sets from a pool of the paper's row count: time and memory of each step, as processes of their own.

    python -m rsft_assets_tests.benchmarks.data_scale --home /tmp/scale [--queries 44000 --samples 32 --characters 1500]

Writes a pool of made-up responses (a share of them wrong) with made-up verdicts, then builds every recipe over
it and prints seconds and peak memory. Texts are shorter than real ones; rows are as many. With `--verify` the verdicts
come from the verifier, whose memory is printed too: of the step's own process, and of all its processes together.
"""

import argparse
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

STUDY = """
extends = "nano"
[sources.scale]
kind = "math"
origin = {{ name = "sums", seed = 1, count = {queries} }}
[pools.scale]
source = "scale"
teacher = {{ name = "procedural", origin = {{ name = "worked-steps", seed = 1, count = 1 }} }}
sampling = {{ n = {samples}, seed = 1 }}
shards = {shards}
[datasets.scale-cot]
recipe = "one-correct"
rows = {rows}
pool = "scale"
[datasets.scale-any]
recipe = "one-any"
rows = {rows}
pool = "scale"
[datasets.scale-nocot]
recipe = "without-thinking"
rows = {rows}
like = "scale-cot"
thinking = false
[datasets.scale-few]
recipe = "first-rows"
rows = {few}
like = "scale-cot"
"""
_MEASURED = """
import resource, runpy, sys
sys.argv = [sys.argv[1], *sys.argv[2:]]
try:
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
finally:
    print("PEAK", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, file=sys.stderr)
"""


def fill_pool(samples: int, characters: int, *, with_verdicts: bool) -> int:
    """Responses (and verdicts) of every shard, written as the steps write them; their text in bytes."""
    from rsft_assets.specs.lineage import Ref
    from rsft_assets.specs.study import load_study
    from rsft_assets.steps.records.rows import RowWriter, read_rows
    from rsft_assets.steps.records.store import Store

    study, store = load_study(), Store.from_env()
    pool = study.pools["scale"]
    chance = random.Random(1)
    thoughts = " ".join(chance.choice(("so", "then", "check", "12", "add", "wait", "7+5")) for _ in range(200_000))
    size = 0
    for number, key in enumerate(pool.shard_keys):
        with store.build(study, Ref("responses/scale", key)) as build:
            if build.finished is None:
                queries = read_rows(build.input("queries/scale").file("queries.parquet"), ["query_id", "gold"])
                with RowWriter(build.folder / "responses.parquet", "responses") as rows:
                    for place, query in enumerate(queries):
                        for sample in range(samples if place % pool.shards == number else 0):
                            row = _response(query, sample, thoughts, characters, chance)
                            size += len(row["text"])
                            rows.add(row)
                build.publish(stats={"rows": rows.rows})
        if not with_verdicts:
            continue
        with store.build(study, Ref("verdicts/scale", key)) as build:
            if build.finished is None:
                responses = build.input("responses/scale", key).file("responses.parquet")
                with RowWriter(build.folder / "verdicts.parquet", "verdicts") as rows:
                    for row in read_rows(responses, ["response_id", "query_id"]):
                        rows.add(_verdict(row, chance))
                build.publish(stats={"rows": rows.rows})
    return size


def _response(query: Any, sample: int, thoughts: str, characters: int, chance: random.Random) -> dict[str, Any]:
    length = int(characters * chance.lognormvariate(-0.3, 0.8))
    start = chance.randrange(max(len(thoughts) - length, 1))
    thought = thoughts[start : start + length]
    answer = query["gold"] if chance.random() < 0.7 else str(chance.randrange(200))
    return {
        "response_id": f"{query['query_id']}-{sample}",
        "query_id": query["query_id"],
        "sample": sample,
        "seed": sample,
        "text": f"<think>\n{thought}\n</think>\n\nThe sum is \\boxed{{{answer}}}.",
        "prompt_tokens": 10,
        "response_tokens": length // 4,
        "finish_reason": "stop",
        "mean_logprob": -0.5,
        "engine": "scale",
    }


def _verdict(row: Any, chance: random.Random) -> dict[str, Any]:
    right = chance.random() < 0.7
    verdict, reason = ("correct", "equal") if right else ("wrong", "different")
    return {**row, "verdict": verdict, "extracted": "7", "reason": reason, "seconds": 0.001}


def measured(program: str, asset: str) -> tuple[float, int]:
    """Seconds and peak MB of one step program."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, f"rsft_assets.steps.{program}", asset], stderr=subprocess.PIPE, text=True
    )
    if done.returncode:
        sys.exit(done.stderr)
    return time.monotonic() - started, int(done.stderr.rsplit("PEAK", 1)[1])


def verified() -> tuple[float, int, int]:
    """Seconds, peak MB of the step's process, and of it and its workers together (pages they share counted once)."""
    started = time.monotonic()
    process = psutil.Popen(
        [sys.executable, "-m", "rsft_assets.steps.verdicts.verify", "verdicts/scale"], stderr=subprocess.DEVNULL
    )
    own = together = 0
    while process.poll() is None:
        sizes = [_proportional_bytes(part) for part in (process, *_below(process))]
        own, together = max(own, sizes[0]), max(together, sum(sizes))
        time.sleep(0.5)
    if process.returncode:
        sys.exit(f"the verify step ended with {process.returncode}")
    return time.monotonic() - started, own >> 20, together >> 20


def _below(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.Error:
        return []


def _proportional_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--queries", type=int, default=44_000)
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--characters", type=int, default=1_500)
    parser.add_argument("--shards", type=int, default=64)
    parser.add_argument("--verify", action="store_true", help="judge the responses instead of making verdicts up")
    arguments = parser.parse_args()
    arguments.home.mkdir(parents=True, exist_ok=True)
    rows = min(20_480, arguments.queries // 2)
    study = STUDY.format(
        queries=arguments.queries, samples=arguments.samples, shards=arguments.shards, rows=rows, few=rows // 8
    )
    (arguments.home / "study.toml").write_text(study)
    os.environ |= {"RSFT_HOME": str(arguments.home), "RSFT_STUDY": str(arguments.home / "study.toml")}
    measured("fetch_queries", "queries/scale")
    for name in ("nano-math-test", "nano-dot", "nano-format", "nano-refusal"):
        measured("lock_benchmark", f"benchmarks/{name}")
    size = fill_pool(arguments.samples, arguments.characters, with_verdicts=not arguments.verify)
    print(f"{arguments.queries * arguments.samples:,} responses, {size / 1e9:.1f} GB of text")
    if arguments.verify:
        seconds, own, together = verified()
        print(f"verify   {seconds:6.1f} s  {own:6} MB, {together} MB with its workers")
    total = 0.0
    for name in ("cot", "any", "nocot", "few"):
        seconds, peak = measured("build_dataset", f"datasets/scale-{name}")
        total += seconds
        print(f"{name:8} {seconds:6.1f} s  {peak:6} MB")
    print(f"all      {total:6.1f} s")


if __name__ == "__main__":
    main()
