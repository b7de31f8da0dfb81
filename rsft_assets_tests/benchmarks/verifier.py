"""How much faster the verifier is than a plain math-verify loop over the same texts, side by side.

Comes in: real answers found through `RSFT_TEST_DATA` (default `../shared/data` beside the checkout). Goes out: a table
of ratios over tails and whole texts, with one worker and with two, the cost of pathological answers and what the
paper's pool would take. Run: `python -m rsft_assets_tests.benchmarks.verifier [--queries 40] [--rounds 3]`.

Both sides are measured in turns, each time in fresh processes that have judged the same other queries and none of the
pool: both learn grammar from what they read. An answer on which math-verify hits its time limit is left out of the
ratio and reported apart. Every verdict of the two sides is compared.
"""

import argparse
import contextlib
import logging
import multiprocessing
import os
import statistics
import sys
import time
from pathlib import Path
from typing import NamedTuple

from math_verify import parse, verify

from rsft_assets.steps.verdicts.verifier.verifier import Answer, Limits, Verifier
from rsft_assets_tests.benchmarks.verifier_pool import SAMPLES, PoolAnswer, load_pool, loops

PAPER_POOL = 44_000 * 32
CORES = 16
PLAIN_LIMIT_SECONDS = 5
HOSTILE = (r"\boxed{10000000!/9999999!}", r"\boxed{\binom{10^9}{5\cdot 10^8}}", r"\boxed{9^{9^{9^{9}}}}", "9^9^9^9^9")


class Cost(NamedTuple):
    """Seconds of one pass: by the clock, and of processor time over all processes."""

    wall: float
    cpu: float


class Plain(NamedTuple):
    """A plain loop's verdict for one text, and its time."""

    equal: bool
    seconds: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warm", type=int, default=200, help="other queries that both sides have seen before")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    data = Path(os.environ.get("RSFT_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
    if not (data / "math_responses").is_dir():
        print(f"{data}: no real answers there; set RSFT_TEST_DATA to the folder that holds math_responses")
        return 2
    logging.disable(logging.CRITICAL)
    both = load_pool(data, given.warm + given.queries, given.seed)
    warm, pool = both[: SAMPLES * given.warm], both[SAMPLES * given.warm :]
    lengths = sorted(len(answer.whole) for answer in pool)
    print(f"pool: {len(pool)} responses to {given.queries} queries, median {lengths[len(lengths) // 2]} characters")
    for answer in warm:
        plain(answer.gold, answer.whole)
    differing = 0
    for scope in ("tail", "whole"):
        differing += compare(pool, warm, scope, given.rounds)
        print(end="", flush=True)
    pathological(pool, warm, loops(data))
    return 1 if differing else 0


def compare(pool: list[PoolAnswer], warm: list[PoolAnswer], scope: str, rounds: int) -> int:
    """Print the ratios for one scope; the number of verdicts that differ."""
    texts = [(answer.gold, answer.tail if scope == "tail" else answer.whole) for answer in pool]
    first = plain_loop(texts)[1]
    kept = [index for index, verdict in enumerate(first) if verdict.seconds < 0.9 * PLAIN_LIMIT_SECONDS]
    answers = [Answer(str(index), texts[index][0], pool[index].whole, scope=scope) for index in kept]
    costs: dict[str, list[Cost]] = {"plain": [], "1 worker": [], "2 workers": []}
    differing = undecided = 0
    for _ in range(rounds):
        cost, again = plain_loop([texts[index] for index in kept])
        costs["plain"].append(cost)
        expected = [verdict.equal for verdict in again]
        for name, workers in (("1 worker", 1), ("2 workers", 2)):
            cost, verdicts = timed(workers, answers, warm)
            costs[name].append(cost)
            undecided += verdicts.count("undecided")
            differing += sum(
                verdict != "undecided" and (verdict == "correct") != equal
                for verdict, equal in zip(verdicts, expected, strict=True)
            )
    print(f"\n{scope}: {len(kept)} texts, {len(texts) - len(kept)} on which math-verify times out are left out")
    for name, rows in costs.items():
        print(f"  {name:9}  " + "   ".join(described(costs["plain"], rows, clock, len(kept)) for clock in Cost._fields))
    print(f"  verdicts that differ: {differing} of {2 * rounds * len(kept)}, undecided: {undecided}")
    seconds = statistics.median(cost.cpu for cost in costs["1 worker"]) / len(kept)
    characters = statistics.mean(len(pool[index].whole) for index in kept)
    minutes = PAPER_POOL * seconds / CORES / 60
    print(
        f"  the paper's pool of {PAPER_POOL:,} responses on {CORES} cores: {minutes:.1f} minutes"
        f" (processor time of 1 worker and its owner for a response of {characters:,.0f} characters on average, times"
        f" responses, by cores), without pathological answers"
    )
    return differing


def described(plain_costs: list[Cost], costs: list[Cost], clock: str, size: int) -> str:
    """Milliseconds a response and the ratio to the plain loop, median and range over the rounds."""
    seconds = [getattr(cost, clock) for cost in costs]
    if min(seconds) <= 0:
        return f"{clock} unknown, a worker was replaced"
    ratios = [getattr(before, clock) / after for before, after in zip(plain_costs, seconds, strict=True)]
    middle, low, high = statistics.median(ratios), min(ratios), max(ratios)
    return f"{clock} {1e3 * statistics.median(seconds) / size:7.3f} ms, ratio {middle:5.1f} ({low:.1f} to {high:.1f})"


def pathological(pool: list[PoolAnswer], warm: list[PoolAnswer], real: list[PoolAnswer]) -> None:
    """Print what 1 % of answers that math-verify cannot decide in its time cost, of two kinds."""
    for name, bad in (
        ("real loops of boxes", [Answer("bad", answer.gold, answer.tail) for answer in real]),
        ("hostile arithmetic", [Answer("bad", "5", text) for text in HOSTILE]),
    ):
        answers = [Answer("", answer.gold, answer.whole) for answer in pool]
        for number in range(len(pool) // 100):
            answers.insert(100 * number + 50, bad[number % len(bad)])
        cost, verdicts = timed(2, answers, warm)
        undecided = verdicts.count("undecided")
        share = cost.wall / len(answers)
        print(
            f"\n1 % {name}, two workers: {1e3 * share:.2f} ms a response, {undecided} undecided of {len(pool) // 100}; "
            f"the paper's pool on {CORES} cores: {PAPER_POOL * share * 2 / CORES / 60:.0f} minutes "
            f"(limit {Limits().seconds:g} s a step)"
        )


def plain_loop(texts: list[tuple[str, str]]) -> tuple[Cost, list[Plain]]:
    """The reference over all texts, in a copy of this process that is thrown away."""
    with multiprocessing.get_context("fork").Pool(1) as one:
        return one.apply(_plain_loop, (texts,))


def _plain_loop(texts: list[tuple[str, str]]) -> tuple[Cost, list[Plain]]:
    wall, cpu = time.perf_counter(), time.process_time()
    verdicts = [plain(gold, text) for gold, text in texts]
    return Cost(time.perf_counter() - wall, time.process_time() - cpu), verdicts


def plain(gold: str, text: str) -> Plain:
    """What the reference says, with math-verify's own limits."""
    started = time.perf_counter()
    equal = verify(parse(f"${gold}$"), parse(text))
    return Plain(equal, time.perf_counter() - started)


def timed(workers: int, answers: list[Answer], warm: list[PoolAnswer]) -> tuple[Cost, list[str]]:
    """Cost and verdicts of one pass by workers that are running and have judged other queries."""
    with Verifier(workers=workers) as verifier:
        list(verifier.judge(Answer("", answer.gold, answer.whole) for answer in warm))
        wall, cpu = time.perf_counter(), cpu_seconds(verifier)
        verdicts = [judgement.verdict for judgement in verifier.judge(answers)]
        return Cost(time.perf_counter() - wall, cpu_seconds(verifier) - cpu), verdicts


def cpu_seconds(verifier: Verifier) -> float:
    """Processor time of this process and of the workers alive now (Linux; elsewhere of this process alone)."""
    ticks = 0
    for worker in verifier._pool.start():
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
