"""Attack the pipeline and say what survived.

    python -m rsft_assets_tests.proof                                   # every attack, an hour in all
    python -m rsft_assets_tests.proof chaos --seed 7 --minutes 60       # run it again and it resumes
    python -m rsft_assets_tests.proof corruption --seed 7 --case '*items.parquet flip'
    python -m rsft_assets_tests.proof ray --seed 7 --kills 30 --minutes 300
    python -m rsft_assets_tests.proof --table 7.json 8.json             # the README's table, from what was written

Every case has its own random numbers, from the seed and its name. Exit status: 0, or 1 where anything was lost.
"""

import argparse
import dataclasses
import datetime
import fnmatch
import importlib
import json
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rsft_assets_tests.proof.cases import Bench, Clock, Outcome, outcome_of
from rsft_assets_tests.proof.pipeline import reference

ATTACKS = ("hostile", "selections", "corruption", "chaos", "surroundings", "load", "ray")
SHORT_MINUTES = 2.0


def main(words: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(words)
    if arguments.table:
        print(table([json.loads(file.read_text(encoding="utf-8")) for file in arguments.table]))
        return 0
    minutes = arguments.minutes or (SHORT_MINUTES if arguments.short else 60.0)
    bench = Bench(arguments.home.resolve(), arguments.seed, arguments.short, arguments.kills)
    bench.home.mkdir(parents=True, exist_ok=True)
    names = arguments.attacks or list(ATTACKS)
    if {"selections", "corruption", "chaos", "surroundings", "ray"} & set(names):
        reference(bench)  # takes minutes once, which are no attack's
    clock, found = Clock(60 * minutes), []
    for number, name in enumerate(names):
        share = Clock(clock.left / (len(names) - number))
        outcomes = list(attack(bench, name, share, arguments.case))
        print(line(name, outcomes, bench.seed), flush=True)
        for outcome in outcomes:
            if outcome.state == "lost":
                print(f"  lost: {outcome.case}: {outcome.seen}\n    {repeat(outcome, bench)}", flush=True)
        found += outcomes
    if arguments.json:
        arguments.json.write_text(json.dumps(record(found, bench, minutes), indent=1), encoding="utf-8")
    return 1 if any(outcome.state == "lost" for outcome in found) else 0


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("attacks", nargs="*", metavar="ATTACK", help=", ".join(ATTACKS))
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**9, help="default: a new one")
    parser.add_argument("--minutes", type=float, help="for all attacks together; default: 60")
    parser.add_argument("--case", default="*", metavar="GLOB", help="only cases of these names, done before or not")
    parser.add_argument("--kills", type=int, default=30, metavar="N", help="of ray; default: 30")
    parser.add_argument("--home", type=Path, default=Path("proof"), metavar="FOLDER", help="work folder, kept")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found there")
    parser.add_argument("--short", action="store_true", help=f"a slice of {SHORT_MINUTES:g} minutes")
    about = "print the README's table from files of --json, one of each seed"
    parser.add_argument("--table", type=Path, nargs="+", metavar="FILE", help=about)
    return parser


def attack(bench: Bench, name: str, clock: Clock, wanted: str) -> Iterator[Outcome]:
    """Outcomes of earlier tries with this seed, then of what is left: one case at least, until the time is spent."""
    tried = 0
    kept = bench.home / f"outcomes-{bench.seed}.jsonl"
    before = {} if wanted != "*" else _outcomes(kept, name)
    yield from before.values()
    for case in _module(name).cases(bench):
        if clock.left <= 0 and tried:
            break
        if case.name in before or not fnmatch.fnmatchcase(case.name, wanted):
            continue
        outcome = outcome_of(name, case)
        tried += outcome.tried
        with kept.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dataclasses.asdict(outcome)) + "\n")
        yield outcome


def _module(name: str) -> Any:
    return importlib.import_module(f"rsft_assets_tests.proof.{name}")


def _outcomes(path: Path, attack: str) -> dict[str, Outcome]:
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    found = (Outcome(**json.loads(line)) for line in lines if line.endswith("}"))
    return {outcome.case: outcome for outcome in found if outcome.attack == attack}


def counts(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """A case can hold many single attacks, of which at most one is lost: it ends there."""
    lost = sum(outcome.state == "lost" for outcome in outcomes)
    tried = sum(outcome.tried for outcome in outcomes)
    skipped = sum(outcome.state == "not tried" for outcome in outcomes)
    return {"tried": tried, "survived": tried - lost, "lost": lost, "not tried": skipped}


def line(name: str, outcomes: Sequence[Outcome], seed: int) -> str:
    found = counts(outcomes)
    skipped = f", {found['not tried']} not tried here" if found["not tried"] else ""
    return f"{name}: {found['tried']} tried, {found['survived']} survived, {found['lost']} lost{skipped} (seed {seed})"


def repeat(outcome: Outcome, bench: Bench) -> str:
    return (
        f"python -m rsft_assets_tests.proof {outcome.attack} --seed {bench.seed} --case '{outcome.case}'"
        f"{' --short' if bench.short else ''}"
    )


def record(found: Sequence[Outcome], bench: Bench, minutes: float) -> dict[str, Any]:
    names = dict.fromkeys(outcome.attack for outcome in found)
    of = {name: [outcome for outcome in found if outcome.attack == name] for name in names}
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "seed": bench.seed,
        "minutes": minutes,
        "attacks": {name: {"promise": _module(name).PROMISE, **counts(outcomes)} for name, outcomes in of.items()},
        "outcomes": [dataclasses.asdict(outcome) for outcome in found],
    }


def table(found: Sequence[dict[str, Any]]) -> str:
    """Markdown: each promise with the commands that attack it, how all of them ended, and when the last did."""
    rows = ["| promise | `python -m rsft_assets_tests.proof …` | outcome | date |", "|---|---|---|---|"]
    others = "".join(f", {one['seed']}" for one in found[1:])
    for name, about in found[0]["attacks"].items():
        tried, lost = (sum(one["attacks"][name][what] for one in found) for what in ("tried", "lost"))
        date = max(one["date"] for one in found)
        command = f"`{name} --seed {found[0]['seed']}`{others}"
        rows.append(f"| {about['promise']} | {command} | {tried:,} tried, {lost} lost | {date} |")
    return "\n".join(rows)


if __name__ == "__main__":
    logging.disable()  # each attacked part says what it met; the lines printed here are the outcome
    sys.exit(main())
