"""Train the tiny runs as a program: `python -m …tiny_training SETTINGS.json`, killed at the n-th write if asked.

`kill_at` counts files opened for writing, renames, links and removals below RSFT_HOME.
"""

import json
import os
import signal
import sys
from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path

from rsft_assets.specs.lineage import checkpoint_ref
from rsft_assets.specs.placement import Placement
from rsft_assets.steps.checkpoints.train import train
from rsft_assets.steps.processes.program import run_step
from rsft_assets.steps.records.store import Store
from rsft_assets_tests.steps.checkpoints.tiny import SCHEDULE, tiny_study

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


def main(arguments) -> None:
    settings = json.loads(Path(arguments.settings).read_text())
    if settings.get("kill_at"):
        kill_at(settings["kill_at"])
    study = tiny_study(replace(SCHEDULE, **settings.get("schedule", {})), seeds=settings.get("seeds", (1,)))
    placement = Placement(**{"device": "cpu", "micro_batch_tokens": 256, **settings.get("placement", {})})
    refs = [checkpoint_ref(run, settings["target"]) for run in study.runs.values()]
    train(study, Store.from_env(), refs, force=settings.get("force", False), placement=placement)


if __name__ == "__main__":
    parser = ArgumentParser()
    parser.add_argument("settings")
    run_step(main, parser)
