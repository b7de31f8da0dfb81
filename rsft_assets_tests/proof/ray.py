"""Parts of a Ray cluster killed at random moments of a whole study, in every stage that runs there.

A round makes the study from nothing. At each kill a step of the wanted stage is at work on a node; the victim is then
brought back, and the command started again whenever it has ended. A study that is finished is compared with the
reference, which one machine has made, and where kills are left the round begins anew in an empty home.
"""

import importlib.util
import json
import random
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from rsft_assets.steps.records.store import Store
from rsft_assets_tests import juicefs
from rsft_assets_tests.proof.cases import Bench, Case, Lost, NotTried, Seen
from rsft_assets_tests.proof.chaos import leftovers, still_at_work
from rsft_assets_tests.proof.pipeline import (
    ASKED,
    STACK,
    claimed_slots,
    command_line,
    differences,
    digests,
    held_locks,
    reference,
    say,
    study_file,
    tables,
    without_times,
)
from rsft_assets_tests.proof.ray_cluster import VICTIMS, Cluster

PROMISE = "Whatever part of a Ray cluster is killed, the same command goes on and ends as on one machine"
STAGES = ("responses", "verdicts", "checkpoints", "scores")
KILLS_A_ROUND, KILLS_SHORT = 3, 2
_LONGEST_DELAY = 2.0
_LONGEST_AWAY = 20.0
_ANSWER_SECONDS = 600.0
_COMMAND_SECONDS = 1_800.0
_LOOK_EVERY_SECONDS = 0.5
_FAILURES = 3
"""Of commands that nothing has hit, one after another: nodes do not answer in time where other programs are busy."""
_KEYS = {
    "responses.parquet": "response_id",
    "verdicts.parquet": "response_id",
    "completions.parquet": "item_id, sample",
    "graded.parquet": "item_id, sample, grader, metric",
}
"""What names a row of each file."""
_TELLS = re.compile(r"is lost|has failed|exit status|locked by|pieces wait|cannot|did not answer|stopped")
_LOOK = "import sys; from rsft_assets_tests.proof import ray; ray.look(*sys.argv[1:])"


@dataclass(frozen=True)
class Kill:
    """One kill, and what came of it."""

    victim: str
    host: str
    stages: str
    """At work then."""
    seconds: float
    """Until the command had ended, or another step was at work."""
    end: str
    said: str

    def __str__(self) -> str:
        return f"{self.victim} of {self.host} in {self.stages}: {self.end} after {self.seconds:.1f} s ({self.said})"


def missing() -> str:
    """What keeps this machine from running a cluster; empty if nothing does."""
    if importlib.util.find_spec("ray") is None:
        return "it needs ray: pip install 'rsft_assets[ray]'"
    return juicefs.missing()


def cases(bench: Bench) -> Iterator[Case]:
    kills = KILLS_SHORT if bench.short else bench.kills
    for first in range(0, kills, KILLS_A_ROUND):
        last = min(kills, first + KILLS_A_ROUND)
        name = f"kills {first + 1} to {last}"
        yield Case(name, lambda name=name, first=first, last=last: attack(bench, name, first, last), 7_200.0)


def attack(bench: Bench, name: str, first: int, last: int) -> Seen:
    """One round."""
    if problem := missing():
        raise NotTried(problem)
    # Ray's sockets need a short path.
    folder = tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True)
    with folder, Cluster(Path(folder.name)) as cluster:
        kills = Attack(bench, cluster, bench.random(name)).run(planned(bench, first, last))
    return Seen("; ".join(map(str, kills)), len(kills))


def planned(bench: Bench, first: int, last: int) -> list[tuple[str, str]]:
    """(victim, stage) of each kill of a round, in the order of stages. Each comes once before any comes again."""
    numbers, victims, stages = bench.random("order"), [], []
    while len(victims) < last or len(stages) < last:
        victims += numbers.sample(sorted(VICTIMS), len(VICTIMS))
        stages += numbers.sample(STAGES, len(STAGES))
    return sorted(zip(victims[first:last], stages[first:last], strict=True), key=lambda kill: STAGES.index(kill[1]))


class Attack:
    """The command at work on a cluster, and who hits the cluster."""

    def __init__(self, bench: Bench, cluster: Cluster, numbers: random.Random) -> None:
        self.bench, self.cluster, self.numbers = bench, cluster, numbers
        self.log = bench.home / "ray.log"
        self.kills: list[Kill] = []
        self.failures: list[str] = []
        self.homes = 0
        self.begin()

    def run(self, plan: list[tuple[str, str]]) -> list[Kill]:
        for victim, stage in plan:
            while not self.hit(victim, stage):
                pass
        self.cluster.mend()
        while self.command.wait() != 0:
            self.go_on()
        self.check()
        return self.kills

    def begin(self) -> None:
        """Start the study from nothing."""
        self.homes += 1
        self.home = self.cluster.volume.point / f"home{self.homes}"
        self.again()

    def again(self) -> None:
        self.hit_since, self.command = False, Command(self.bench, self.cluster, self.home, self.log)

    def go_on(self) -> None:
        """Start a command again that has failed."""
        if self.hit_since:
            self.failures.clear()
        else:
            self.failures.append(f"{self.command.status}: {self.command.said()}")
        if len(self.failures) == _FAILURES:
            self.lose(f"{_FAILURES} commands failed that nothing had hit: {'; '.join(self.failures)}")
        self.cluster.mend()
        self.again()

    def lose(self, words: str) -> None:
        raise Lost(f"after {'; '.join(map(str, self.kills)) or 'nothing'}: {words}")

    def hit(self, victim: str, stage: str) -> bool:
        """Hit once a step of this stage is at work on a node; whether there was something to hit."""
        while stage not in self.cluster.stages(self.cluster.nodes):
            if self.command.status == 0:
                self.check()
                self.cluster.mend()
                self.begin()
            elif self.command.status is not None:
                self.go_on()
            time.sleep(_LOOK_EVERY_SECONDS)
        time.sleep(self.numbers.uniform(0.0, _LONGEST_DELAY))
        there, stages, from_here = self.cluster.steps(), self.cluster.stages(), self.log.stat().st_size
        started = time.time()
        host = VICTIMS[victim](self.cluster, self.numbers)
        if not host:
            return False
        self.hit_since = True
        end, seconds = self.answer(set(there), started)
        said = self.command.said(from_here)
        self.kills.append(Kill(victim, host, ", ".join(sorted(stages)) or f"the end of {stage}", seconds, end, said))
        print(f"  {self.kills[-1]}", flush=True)
        if STACK in self.command.words(from_here):
            self.lose(f"the command said a stack; see {self.log}")
        return True

    def answer(self, there: set[Any], started: float) -> tuple[str, float]:
        """How the command took it, and seconds until then. Meanwhile what was killed is brought back."""
        back_at: float | None = started + self.numbers.uniform(0.0, _LONGEST_AWAY)
        while time.time() < started + _ANSWER_SECONDS:
            begun = [step.create_time() for step in self.cluster.steps() if step not in there]
            if begun:
                end = "went on", min(begun) - started
            elif self.command.status is not None:
                end = f"ended with {self.command.status}", self.command.ended - started
            else:
                end = None
            if end or (back_at and time.time() >= back_at):
                self.cluster.mend()
                back_at = None
            if end:
                return end[0], max(0.0, end[1])
            time.sleep(_LOOK_EVERY_SECONDS)
        self.lose(f"neither ended nor went on within {_ANSWER_SECONDS:g} s: {self.command.said()}")
        raise AssertionError

    def check(self) -> None:
        """What is finished is what one machine makes, and nothing is left over."""
        wrong = [f"still at work: {command}" for command in still_at_work(self.home)]
        words = [str(self.bench.home), str(self.home)]
        status, said = self.cluster.rig.run([sys.executable, "-c", _LOOK, *words], _ANSWER_SECONDS, self.cluster.login)
        if status != 0:
            self.lose(f"the home cannot be examined: {said[-2_000:]}")
        found = json.loads(said.splitlines()[-1])
        wrong += [*differences(found["digests"], without_times(digests(reference(self.bench)))), *found["wrong"]]
        expected = {name: list(sums) for name, sums in tables(reference(self.bench)).items()}
        wrong += differences(found["tables"], expected)
        if wrong:
            kept = self.bench.home / "lost"
            shutil.rmtree(kept, ignore_errors=True)
            self.cluster.rig.run(["cp", "-a", str(self.home), str(kept)], on=self.cluster.login)
            self.lose(f"{'; '.join(wrong[:10])} (kept in {kept})")


class Command:
    """`rsft materialize` on the host of commands, and when it ended."""

    def __init__(self, bench: Bench, cluster: Cluster, home: Path, log: Path) -> None:
        self.log = log
        self.ended = 0.0
        files = {"RSFT_STUDY": str(study_file(bench)), "RSFT_PLACEMENT": str(cluster.placement)}
        with log.open("a") as output:
            words = command_line("materialize", *ASKED)
            self._process = cluster.rig.start(words, cluster.login, output, RSFT_HOME=str(home), **files)
        self._start = log.stat().st_size
        self._waits = threading.Thread(target=self._wait, daemon=True)
        self._waits.start()

    def _wait(self) -> None:
        self._process.wait()
        self.ended = time.time()

    @property
    def status(self) -> int | None:
        """The exit status, None while it is at work."""
        return self._process.returncode if self.ended else None

    def wait(self) -> int | None:
        self._waits.join(_COMMAND_SECONDS)
        if not self.ended:
            raise Lost(f"not done after {_COMMAND_SECONDS:g} s: {self.said()}")
        return self.status

    def words(self, start: int | None = None) -> str:
        return self.log.read_bytes()[self._start if start is None else start :].decode(errors="replace")

    def said(self, start: int | None = None) -> str:
        """The first line that tells of a problem, else the last."""
        lines = [line.strip() for line in self.words(start).splitlines() if line.strip()]
        told = (line for line in lines if _TELLS.search(line))
        return next(told, lines[-1] if lines else "nothing")[:300]


def look(place: str, home: str) -> None:
    """Print what a finished home holds; run where the home is mounted."""
    bench, path = Bench(Path(place), 0), Path(home)
    wrong = [f"lock held: {lock}" for lock in held_locks(path)]
    wrong += [f"slot held: {slot}" for slot in claimed_slots(path)]
    wrong += [f"left over: {left}" for left in leftovers(bench, path)]
    wrong += [f"rows twice: {file}" for file in files_with_rows_twice(path)]
    examined = say(bench, path, "doctor", "--content")
    wrong += [] if examined.status == 0 else [f"doctor: {examined.words[-1_000:]}"]
    print(json.dumps({"digests": without_times(digests(path)), "tables": tables(path), "wrong": wrong}))


def files_with_rows_twice(home: Path) -> list[str]:
    found, looked_at = [], 0
    for folder in Store(home).folders():
        for name in sorted(set(_KEYS) & {file.name for file in folder.iterdir()}):
            path = str(folder / name).replace("'", "''")
            rows, keys = duckdb.sql(
                f"SELECT count(*), count(DISTINCT ({_KEYS[name]})) FROM read_parquet('{path}')"
            ).fetchall()[0]
            looked_at += rows
            found += [path] if rows != keys else []
    return found if looked_at else ["no row was found"]
