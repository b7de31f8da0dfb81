"""Processes of every stage killed, ended, or stopped for a while, at random moments of a whole study.

A round makes the study from nothing while it is attacked, starting the command again whenever it has ended, and then
lets it finish. It must end as the reference: the same digests of all stages and tables, and nothing left over.
"""

import contextlib
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil

from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.processes.child import Child, end
from rsft_assets.steps.questions.cleanup import survey
from rsft_assets.steps.records.store import Store
from rsft_assets_tests.proof.cases import Bench, Case, Lost, Seen
from rsft_assets_tests.proof.pipeline import (
    ASKED,
    claimed_slots,
    command_line,
    differences,
    digests,
    held_locks,
    reference,
    run,
    say,
    settings,
    study_of,
    tables,
    without_times,
)
from rsft_assets_tests.test_kill import at_work_in

PROMISE = "Stopped at any moment, even by `kill -9`, the same command goes on and ends as if never stopped"
SIGNALS = {"KILL": 0.6, "TERM": 0.2, "STOP": 0.2}
ROUNDS, HITS = 100, 20
COMMAND = "command"
_STEP = re.compile(r"rsft_assets\.steps\.(\w+)\.\w+")
_LONGEST_PAUSE = 12.0
_STOPPED_SECONDS = 3.0
_GONE_SECONDS = 20.0
_LOOK_EVERY_SECONDS = 0.05


def cases(bench: Bench) -> Iterator[Case]:
    for number in range(1 if bench.short else ROUNDS):
        name = f"round {number}"
        hits = 3 if bench.short else HITS
        yield Case(name, lambda name=name, hits=hits: attack(bench, bench.random(name), hits), 1_800.0)


def attack(bench: Bench, numbers: random.Random, hits: int) -> Seen:
    """One round."""
    expected_digests, expected_tables = digests(reference(bench)), tables(reference(bench))
    home = bench.folder("chaos")
    seen = Attack(bench, home, numbers).run(hits)
    done = run(bench, home, command_line("materialize", *ASKED))
    if done.status != 0:
        raise Lost(
            f"after {dict(seen)}: the command that was to finish ended with {done.status}: {done.words[-2_000:]}"
        )
    wrong = differences(without_times(digests(home)), without_times(expected_digests))
    wrong += [] if Store(home).sound(Ref("report")) else ["there is no report"]
    wrong += differences(tables(home), expected_tables)
    wrong += [f"still at work: {command}" for command in still_at_work(home)]
    wrong += [f"lock held: {path}" for path in held_locks(home)]
    wrong += [f"slot held: {slot}" for slot in claimed_slots(home)]
    wrong += [f"left over: {path}" for path in leftovers(bench, home)]
    examined = say(bench, home, "doctor", "--content")
    wrong += [] if examined.status == 0 else [f"doctor: {examined.words[-1_000:]}"]
    if wrong:
        raise Lost(f"after {dict(seen)}: {'; '.join(wrong[:10])}")
    return Seen(f"after {dict(seen)}", sum(seen.values()))


class Attack:
    """The command at work, and who hits it."""

    def __init__(self, bench: Bench, home: Path, numbers: random.Random) -> None:
        self.bench, self.home, self.numbers = bench, home, numbers
        self.seen: Counter[str] = Counter()
        """Signal and stage -> times."""

    def run(self, hits: int) -> Counter[str]:
        """Hit until there were so many, or everything is made."""
        while sum(self.seen.values()) < hits:
            command = command_line("materialize", *ASKED)
            with (self.bench.home / "chaos.log").open("ab") as log:
                process = Child(command, env=settings(self.bench, self.home), stdout=log, stderr=log)
            try:
                while process.poll() is None and sum(self.seen.values()) < hits:
                    self.hit(process)
                finished = process.wait() == 0
            finally:
                end([process], seconds=0.0, ask=False)
            if finished:
                break
        return self.seen

    def hit(self, process: Child) -> None:
        """Hit the command itself now and then, else a step or one of its helpers, often as its stage begins."""
        at_command, eager = self.numbers.random() < 0.15, self.numbers.random() < 0.5
        moment = time.monotonic() + self.numbers.uniform(1.0, _LONGEST_PAUSE)
        while process.poll() is None:
            there = tree(process)
            steps = [one for one in there[1:] if stage_of(one) != COMMAND]
            fresh = [one for one in steps if eager and stage_of(one) not in self.stages()]
            due = time.monotonic() >= moment
            if due and at_command and there:
                fresh, steps = [], there[:1]
            elif fresh:
                # Not always in its first moments, when Python starts.
                time.sleep(self.numbers.choice((0.0, 2.0, 6.0)) * self.numbers.random())
            if (fresh or (due and steps)) and self.send(self.numbers.choice(fresh or steps)):
                return
            time.sleep(_LOOK_EVERY_SECONDS)

    def stages(self) -> set[str]:
        return {key.split()[1] for key in self.seen}

    def send(self, victim: psutil.Process) -> bool:
        """Whether the signal reached somebody."""
        [name] = self.numbers.choices(list(SIGNALS), weights=SIGNALS.values())
        pause = self.numbers.uniform(0.1, _STOPPED_SECONDS)
        with contextlib.suppress(psutil.Error, IndexError):
            stage = stage_of(victim)
            victim.send_signal(getattr(signal, f"SIG{name}"))
            self.seen[f"{name} {stage}"] += 1
            if name == "STOP":
                time.sleep(pause)
                victim.resume()
            return True
        return False


def tree(process: Child) -> list[psutil.Process]:
    """A command and all that it started, steps' own helpers too."""
    with contextlib.suppress(psutil.Error):
        leader = psutil.Process(process.pid)
        return [leader, *(one for one in leader.children(recursive=True) if one.status() != psutil.STATUS_ZOMBIE)]
    return []


def stage_of(process: psutil.Process) -> str:
    """The stage that a process works for: its own or that of the nearest ancestor that names one."""
    with contextlib.suppress(psutil.Error):
        for one in (process, *process.parents()):
            command = " ".join(one.cmdline())
            if found := _STEP.search(command):
                return found[1]
            if " materialize " in command:
                break
    return COMMAND


def still_at_work(home: Path) -> list[str]:
    """What does not end by itself in a while."""
    until = time.monotonic() + _GONE_SECONDS
    while (found := at_work_in(home)) and time.monotonic() < until:
        time.sleep(1.0)
    return found


def leftovers(bench: Bench, home: Path) -> list[str]:
    """Hidden files and folders that an undisturbed run does not leave and `rsft doctor --disk` does not list."""
    usual = {hidden_name(path) for path in reference(bench).rglob(".*")}
    listed = {item.path for item in survey(study_of(bench), Store(home))}
    found = [path for path in sorted(home.rglob(".*")) if hidden_name(path) not in usual]
    return [str(path) for path in found if not listed & {path, *path.parents}]


def hidden_name(path: Path) -> str:
    return re.sub(r"[0-9a-f]{8,}|[0-9]+", "N", path.name)
