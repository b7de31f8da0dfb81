"""What every attack is made of: cases, how each ended, the seeded random, and the time there is.

An attack is a module with `PROMISE`, which it tests, and `cases(bench)`, which yields `Case`s. A case returns what it
saw, or raises `Lost` or `NotTried`. Anything else that it raises counts as lost, too.
"""

import contextlib
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn


class Lost(Exception):
    """A promise was broken; the words say what was seen."""


class NotTried(Exception):
    """This machine lacks what the case needs; the words say what."""


@dataclass(frozen=True)
class Seen:
    """What a case saw, and how many single attacks it was made of."""

    words: str
    tried: int = 1


@dataclass(frozen=True)
class Bench:
    """Where an attack works."""

    home: Path
    seed: int
    short: bool = False
    kills: int = 30
    """Of the attack on a Ray cluster."""

    def random(self, name: str) -> random.Random:
        """A generator of this seed and case alone, so that a case can be repeated by itself."""
        return random.Random(f"{self.seed} {name}")

    def folder(self, name: str) -> Path:
        """An empty folder of the work folder."""
        folder = self.home / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder


@dataclass(frozen=True)
class Case:
    """One thing to try; `name` is unique in its attack."""

    name: str
    run: Callable[[], Seen]
    seconds: float = 300.0
    """After which it counts as lost."""


@dataclass(frozen=True)
class Outcome:
    """How a case ended."""

    attack: str
    case: str
    state: Literal["survived", "lost", "not tried"]
    seen: str
    tried: int
    seconds: float


class Clock:
    """The time that is left."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        return self._end - time.monotonic()


def outcome_of(attack: str, case: Case) -> Outcome:
    """Run a case."""
    started = time.monotonic()

    def ended(state: Literal["survived", "lost", "not tried"], seen: str, tried: int = 1) -> Outcome:
        return Outcome(attack, case.name, state, seen, tried, round(time.monotonic() - started, 1))

    try:
        with at_most(case.seconds):
            seen = case.run()
    except NotTried as error:
        return ended("not tried", str(error), 0)
    except Lost as error:
        return ended("lost", str(error))
    except Exception as error:
        return ended("lost", f"{type(error).__name__}: {error}"[:2_000])
    return ended("survived", seen.words, seen.tried)


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise `Lost` in the main thread after so many seconds."""

    def too_long(number: int, frame: Any) -> NoReturn:
        raise Lost(f"not done after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
