"""Train the tiny runs as a program: `python -m …tiny_training SETTINGS.json`, killed at the n-th write if asked.

With `save_always` a state is saved at each step that finds none under way, and takes that many seconds to flush.
`kill_at` lists, for one process after the other, a count of files opened for writing, renames, links and removals below
RSFT_HOME; the last process is not killed. Each is forked from this one, so that libraries load once.
"""

import json
import os
import signal
import sys
import time
from argparse import ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

from rsft_assets.specs.lineage import checkpoint_ref
from rsft_assets.specs.placement import Placement
from rsft_assets.steps.checkpoints.train import train
from rsft_assets.steps.processes.program import run_step
from rsft_assets.steps.records.store import Store
from rsft_assets_tests.steps.checkpoints.tiny import SCHEDULE, tiny_study

KILLED = "killed at write"
_WRITES = {"os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir"}


def kill_at(count: int) -> None:
    """SIGKILL to this process at its `count`-th change of a file below RSFT_HOME."""
    home, left = os.environ["RSFT_HOME"], [count]

    def hook(event, arguments):
        opened = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
        if (opened or event in _WRITES) and str(arguments[0]).startswith(home):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def load() -> None:
    """What every training imports."""
    os.environ["DS_ACCELERATOR"] = "cpu"
    from rsft_assets.steps.checkpoints.training.engine import quiet_deepspeed
    from rsft_assets.steps.checkpoints.training.process import load_libraries

    load_libraries()
    quiet_deepspeed()


def save_always(seconds: float) -> None:
    """Nearly at every step; each file of a state takes so many seconds to reach the disk."""
    from rsft_assets.steps.checkpoints.training import saving

    real = os.fsync

    def slow(descriptor: int) -> None:
        if "/.writing-" in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            time.sleep(seconds)
        real(descriptor)

    saving._SAVE_EVERY_SECONDS, saving._SAVE_SHARE = 0.0, 1e9
    saving.os.fsync = slow


def is_killed(settings: dict[str, Any], at: int) -> bool:
    """Whether a process that trains as asked is killed at this write; False where it was done before."""
    pid = os.fork()
    if pid == 0:
        kill_at(at)
        train_as(settings)
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    assert status in (0, signal.SIGKILL), status
    return status == signal.SIGKILL


def main(arguments: Namespace) -> None:
    settings = json.loads(Path(arguments.settings).read_text())
    if settings.get("kill_at"):
        load()
    if "save_always" in settings:
        save_always(settings["save_always"])
    for at in settings.get("kill_at", ()):
        if not is_killed(settings, at):
            break
        print(KILLED, at, flush=True)
    train_as(settings)


def train_as(settings: dict[str, Any]) -> None:
    study = tiny_study(replace(SCHEDULE, **settings.get("schedule", {})), seeds=settings.get("seeds", (1,)))
    placement = Placement(**{"device": "cpu", "micro_batch_tokens": 256, **settings.get("placement", {})})
    refs = [checkpoint_ref(run, settings["target"]) for run in study.runs.values()]
    train(study, Store.from_env(), refs, force=settings.get("force", False), placement=placement)


if __name__ == "__main__":
    parser = ArgumentParser()
    parser.add_argument("settings")
    run_step(main, parser)
