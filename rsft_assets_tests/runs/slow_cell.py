"""A cell that takes seconds, made by `rsft materialize` in a process of its own, and stopped in the middle."""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import time
from pathlib import Path

from rsft_assets_tests.proof import pipeline

CELL = "base_models/pico"
OTHER_CELL = "queries/small-chains"
STEPS = 400


def materialize(home: Path, said: Path, *asked: str, host: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
    """`rsft materialize`, with all that it says in a file; `host` is what begins the command on another host."""
    study = home.parent / "study.toml"
    study.write_text(pipeline.STUDY.replace("steps = 10\n", f"steps = {STEPS}\n"))
    settings = {"RSFT_HOME": str(home), "RSFT_STUDY": str(study), "OMP_NUM_THREADS": "1"}
    with said.open("wb") as out:
        return subprocess.Popen(
            [*host, *pipeline.command_line("materialize", *asked)],
            env={**os.environ, **settings},
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def stop_in_the_middle(home: Path) -> int:
    """Wait until a step makes the cell, and stop its process, which then holds the cell's lock; the process."""
    lock = home / CELL / ".lock"
    await_(lambda: lock.exists() and _is_held(lock) and _holder(lock))
    os.kill(_holder(lock), signal.SIGSTOP)
    assert _is_held(lock) and not list((home / CELL).glob("*/manifest.json")), "it ended before it was stopped"
    return _holder(lock)


def _is_held(lock: Path) -> bool:
    with lock.open("a+") as file:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _holder(lock: Path) -> int:
    with contextlib.suppress(ValueError):
        return json.loads(lock.read_text())["pid"]
    return 0


def await_(happened) -> None:
    until = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.05)
