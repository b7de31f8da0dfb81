"""Odd machines: little of everything, odd paths, a foreign user, another clock.

A command does its work, or says in words why not; in usual surroundings it then finishes.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rsft_assets.specs.lineage import Ref
from rsft_assets_tests.proof.cases import Bench, Case, Lost, NotTried, Seen
from rsft_assets_tests.proof.pipeline import (
    ASKED,
    Said,
    command_line,
    digests,
    reference,
    require_same,
    run,
    say,
    without_times,
)

PROMISE = "Small disks, few handles, little memory, odd paths, foreign users: done, or a message that says what to do"
QUERIES = Ref("queries/small-chains")
MAKE = command_line("materialize", QUERIES.asset)
ALL = tuple(command_line("materialize", *ASKED))
_ISOLATION = "from rsft_assets.steps.scores.sandbox.pool import isolation_problem; print(isolation_problem())"


@dataclass(frozen=True)
class Surroundings:
    """What is odd. `shell` runs before the command, in a mount namespace of its own where `mounts` says so."""

    shell: str = ""
    end: str = 'exec "$@"'
    mounts: bool = False
    prefix: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    home: str = "home"
    prepare: Callable[[Path], object] = lambda home: None
    command: tuple[str, ...] = tuple(MAKE)
    jump: int = 0
    """Days by which the wall clock jumps while the command is at work."""
    seconds: float = 200.0
    can_work: bool = True
    """Whether the same home can be used in usual surroundings."""


JUMP_AFTER_SECONDS = (4, 60)
"""Python and Dagster need about four to start; the whole study needs about a minute."""
DEVICES = (
    "mount -t tmpfs none /dev; "
    "for d in null:3 zero:5 full:7 random:8 urandom:9; do mknod -m 666 /dev/${d%:*} c 1 ${d#*:}; done"
)
FOREIGN = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


def _yaml(text: str) -> Callable[[Path], object]:
    def prepare(home: Path) -> None:
        (home / "dagster").mkdir(parents=True)
        (home / "dagster" / "dagster.yaml").write_text(text)

    return prepare


TABLE: dict[str, Surroundings] = {
    "24 file handles": Surroundings("ulimit -n 24"),
    "half a GiB of memory": Surroundings("ulimit -v 524288"),
    "files of at most 64 KiB": Surroundings("ulimit -f 64"),
    "a small stack": Surroundings("ulimit -s 256"),
    "no standard error": Surroundings(end='exec "$@" 2>&-'),
    "no standard streams": Surroundings(end='exec "$@" <&- >&- 2>&-'),
    "output to a full device": Surroundings(end='exec "$@" >/dev/full 2>&1'),
    "output that nobody reads": Surroundings(end='"$@" 2>&1 | true; exit ${PIPESTATUS[0]}'),
    "a working directory that is gone": Surroundings('d=$(mktemp -d); cd "$d"; rmdir "$d"'),
    "a disk of 1 MB": Surroundings('mkdir -p "$RSFT_HOME"; mount -t tmpfs -o size=1m none "$RSFT_HOME"', mounts=True),
    "a disk of 3 MB": Surroundings('mkdir -p "$RSFT_HOME"; mount -t tmpfs -o size=3m none "$RSFT_HOME"', mounts=True),
    "a disk of 8 MB": Surroundings('mkdir -p "$RSFT_HOME"; mount -t tmpfs -o size=8m none "$RSFT_HOME"', mounts=True),
    "few inodes": Surroundings('mkdir -p "$RSFT_HOME"; mount -t tmpfs -o nr_inodes=12 none "$RSFT_HOME"', mounts=True),
    "/dev/shm read-only": Surroundings("mount -t tmpfs -o ro none /dev/shm", mounts=True),
    "no /dev/shm": Surroundings(DEVICES, mounts=True),
    "temporary files refused": Surroundings(
        'mkdir "$RSFT_HOME.tmp"; mount -t tmpfs -o ro none "$RSFT_HOME.tmp"; export TMPDIR="$RSFT_HOME.tmp"',
        mounts=True,
    ),
    "a home to be read only": Surroundings(
        'mkdir -p "$RSFT_HOME"; mount -t tmpfs -o ro none "$RSFT_HOME"', mounts=True
    ),
    "no HOME": Surroundings("unset HOME"),
    "an empty environment": Surroundings(
        end='exec env -i PATH="$PATH" RSFT_HOME="$RSFT_HOME" RSFT_STUDY="$RSFT_STUDY" PYTHONPATH="$PYTHONPATH" "$@"'
    ),
    "the C locale": Surroundings(environment={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
    "a time zone that is none": Surroundings(environment={"TZ": "Not/A_Zone"}),
    "DAGSTER_HOME is a file": Surroundings('touch "$RSFT_HOME.file"; export DAGSTER_HOME="$RSFT_HOME.file"'),
    "dagster.yaml is no YAML": Surroundings(prepare=_yaml("a: [1"), can_work=False),
    "dagster.yaml names no storage": Surroundings(prepare=_yaml("storage:\n  nothing: {}\n"), can_work=False),
    "spaces in the path": Surroundings(home="a b  c"),
    "quotes in the path": Surroundings(home='it\'s "so"'),
    "a line break in the path": Surroundings(home="a\nb"),
    "letters beyond ASCII in the path": Surroundings(home="дом ünï 数"),
    "wildcards in the path": Surroundings(home="[x]{y}*$HOME"),
    "a question mark in the path": Surroundings(home="a?b", can_work=False),
    "a percent sign in the path": Surroundings(home="100%20", can_work=False),
    "a long path": Surroundings(home="/".join(["x" * 180] * 2)),
    "a path longer than SQLite takes": Surroundings(home="/".join(["x" * 180] * 8), can_work=False),
    "a home that begins with a dash": Surroundings(home="-home"),
    "the home is a file": Surroundings(prepare=lambda home: home.write_text("x"), can_work=False),
    "the home is a loop": Surroundings(prepare=lambda home: home.symlink_to(home), can_work=False),
    "the home is a dangling link": Surroundings(prepare=lambda home: home.symlink_to("gone"), can_work=False),
    "the home is /dev/null": Surroundings(prepare=lambda home: home.symlink_to("/dev/null"), can_work=False),
    "the home is in /proc": Surroundings(prepare=lambda home: home.symlink_to("/proc"), can_work=False),
    "a home of another user": Surroundings(prefix=FOREIGN, prepare=lambda home: home.mkdir()),
    "no user namespaces": Surroundings(
        "echo 0 > /proc/sys/user/max_user_namespaces",
        prefix=("unshare", "--user", "--map-root-user"),
        command=(MAKE[0], "-c", _ISOLATION),
    ),
    "another monotonic clock": Surroundings(
        prefix=("unshare", "--time", "--monotonic", "90000000", "--boottime", "90000000", "--fork")
    ),
    "the wall clock jumps back": Surroundings(jump=-3_000, command=ALL, seconds=900.0),
    "the wall clock jumps ahead": Surroundings(jump=3_000, command=ALL, seconds=900.0),
}
_JUMP = """
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec *now) {
    struct timespec running;
    long status = syscall(SYS_clock_gettime, id, now);
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &running);
    if (status == 0 && id == CLOCK_REALTIME && running.tv_sec >= atol(getenv("JUMP_AT")))
        now->tv_sec += 86400 * atol(getenv("JUMP_DAYS"));
    return status;
}
int gettimeofday(struct timeval *now, void *zone) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *now) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (now)
        *now = exact.tv_sec;
    return exact.tv_sec;
}
"""
"""Loaded before the C library: at a moment of the running clock, the wall clock of every process jumps."""
NOT_HERE = {
    "little memory by a control group": "it needs a control group that may be written",
}


def cases(bench: Bench) -> Iterator[Case]:
    names = list(TABLE)
    bench.random("order").shuffle(names)
    for name in names[: 4 if bench.short else None]:
        yield Case(name, lambda name=name: attack(bench, name), TABLE[name].seconds + 100.0)
    for name, why in NOT_HERE.items():
        yield Case(name, lambda why=why: not_tried(why))


def not_tried(why: str) -> Seen:
    raise NotTried(why)


def attack(bench: Bench, name: str) -> Seen:
    odd = TABLE[name]
    refuse_without_means(odd)
    place = bench.folder("surroundings")
    home = place / odd.home
    odd.prepare(home)
    jump = jumping_clock(bench, name, odd.jump) if odd.jump else {}
    done = run(bench, home, line(odd), cwd=place, seconds=odd.seconds, **odd.environment, **jump)
    if done.status not in (0, 1, 2):
        raise Lost(f"status {done.status}: {done.words[-1_500:]}")
    silent = any(sign in odd.end for sign in (">&-", "/dev/full", "| true"))
    if done.status != 0 and not done.words.strip() and not silent:
        raise Lost(f"status {done.status} without a word")
    words = f"status {done.status}: {last_line(done)}"
    return Seen(f"{words}; then {finished(bench, home)}" if odd.can_work else words)


def refuse_without_means(odd: Surroundings) -> None:
    if (odd.mounts or odd.prefix[:1] == FOREIGN[:1]) and os.geteuid() != 0:
        raise NotTried("it needs root")
    for tool in ("unshare", "setpriv"):
        if tool in (*odd.prefix, "unshare" if odd.mounts else "") and not shutil.which(tool):
            raise NotTried(f"it needs {tool}")
    # By way of a shell, which has lost what setpriv may still open.
    python = [*odd.prefix, "sh", "-c", '"$0" -c ""', sys.executable]
    if odd.prefix and subprocess.run(python, capture_output=True).returncode != 0:
        raise NotTried(f"{' '.join(odd.prefix)} cannot run this Python here")


def jumping_clock(bench: Bench, name: str, days: int) -> dict[str, str]:
    """The environment of a command whose wall clock jumps while it is at work."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise NotTried("it needs a C compiler")
    source, library = bench.home / "clock.c", bench.home / "clock.so"
    source.write_text(_JUMP, encoding="utf-8")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    at = int(time.clock_gettime(time.CLOCK_MONOTONIC)) + bench.random(name).randint(*JUMP_AFTER_SECONDS)
    return {"LD_PRELOAD": str(library), "JUMP_AT": str(at), "JUMP_DAYS": str(days)}


def line(odd: Surroundings) -> list[str]:
    shell = ["bash", "-c", f"{odd.shell or ':'}\n{odd.end}", "bash"]
    return [*(("unshare", "--mount") if odd.mounts else ()), *odd.prefix, *shell, *odd.command]


def finished(bench: Bench, home: Path) -> str:
    """The same command in usual surroundings makes what the reference has."""
    done = say(bench, home, *MAKE[3:])
    if done.status != 0:
        raise Lost(f"in usual surroundings afterwards: status {done.status}: {done.words[-1_500:]}")
    found, expected = digests(home), digests(reference(bench))
    if str(QUERIES) not in found:
        raise Lost(f"{QUERIES} was not made")
    require_same("after this", without_times(found), without_times({ref: expected.get(ref, "") for ref in found}))
    return f"finished with the same {len(found)} digests"


def last_line(said: Said) -> str:
    return (said.words.strip().splitlines() or ["nothing said"])[-1][:200]
