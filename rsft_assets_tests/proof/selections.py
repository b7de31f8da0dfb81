"""The same score cell made alone, beside others, in another order, again, and after a kill: one digest."""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.records.store import Store
from rsft_assets_tests.proof.cases import Bench, Case, Lost, Seen
from rsft_assets_tests.proof.pipeline import (
    BENCHMARKS,
    copied,
    reference,
    run,
    settings,
    step_line,
    study_of,
)

PROMISE = "A score is the same whatever is made beside it, in whatever order, and after a kill"
ROUNDS = 200


def cases(bench: Bench) -> Iterator[Case]:
    """Rounds over all ways, a random cell each."""
    for number in range(1 if bench.short else ROUNDS):
        for way in ("alone", "with others", "last of all", "every step", "after a kill"):
            yield Case(f"{way} {number}", lambda way=way, number=number: make(bench, way, number))


def make(bench: Bench, way: str, number: int) -> Seen:
    """Make one cell anew in a copy of the reference, where nothing is scored."""
    numbers = bench.random(f"{way} {number}")
    run_name = next(name for name in study_of(bench).runs if name.startswith("pico_"))
    steps = study_of(bench).steps_of(study_of(bench).runs[run_name])
    cell = Ref(f"scores/pico/{numbers.choice(list(BENCHMARKS))}", f"{run_name}|{numbers.choice(steps)}")
    expected = of_cell(reference(bench), cell)
    home = unscored(bench)
    others = [f"scores/pico/{name}" for name in BENCHMARKS if name != cell.benchmark]
    assets = {"with others": [cell.asset, *others], "last of all": [*others[::-1], cell.asset]}.get(way, [cell.asset])
    partitions = [f"{run_name}|{step}" for step in steps] if way == "every step" else [cell.partition]
    arguments = [*assets, *(word for partition in partitions for word in ("--partition", partition))]
    if way == "after a kill":
        kill(bench, home, [cell.asset, *others, "--partition", cell.partition], numbers.uniform(1.0, 8.0))
    done = run(bench, home, step_line("scores.score", *arguments))
    if done.status != 0:
        raise Lost(f"{cell}: {done.words[-1_500:]}")
    if (found := of_cell(home, cell)) != expected:
        raise Lost(f"{cell} made {way}: {found} instead of {expected} (digests of score and completions)")
    return Seen(f"{cell}: {found[0][:8]}")


def of_cell(home: Path, cell: Ref) -> tuple[str, str]:
    output = Store(home).require(cell)
    return output.digest[:12], output.stats["completions"]["digest"][:12]


def unscored(bench: Bench) -> Path:
    home = copied(bench, "selections")
    shutil.rmtree(home / "scores")
    shutil.rmtree(home / "completions")
    return home


def kill(bench: Bench, home: Path, arguments: list[str], after: float) -> None:
    """Start the step on more than the cell, and kill it and all that it started."""
    process = subprocess.Popen(
        step_line("scores.score", *arguments),
        env=settings(bench, home),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(after)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
