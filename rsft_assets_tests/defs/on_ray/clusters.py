"""Clusters for tests: a small study, a step that waits until it is told to go on, and what runs it."""

import importlib.util
import shutil
import sys
import time

import psutil
import pytest

from rsft_assets_tests.ray_rig import ADDRESS, RayRig

NEEDS_RAY = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs ray: pip install -e '.[ray]'"),
    pytest.mark.skipif(not shutil.which("nsenter"), reason="needs util-linux"),
]
STUDY = """
extends = "nano"
[sources.few]
kind = "math"
instruction = ""
origin = { name = "calculations", seed = 11, count = 64 }
[pools.few_n4]
source = "few"
shards = 4
teacher = { name = "procedural", origin = { name = "worked-steps", seed = 13, count = 4 } }
sampling = { n = 4, max_tokens = 160, seed = 13 }
"""
PLACEMENT = f'[default]\nlauncher = "ray"\nray_address = "{ADDRESS}"\nray_pieces = 2\n'
STEP = """
import argparse, os, sys, time
from pathlib import Path
from rsft_assets.steps.processes.events import send
from rsft_assets.steps.processes.program import run_step
from rsft_assets.steps.records.locks import exclusive

def main(arguments):
    home, name = Path(os.environ["RSFT_HOME"]), "-".join(sys.argv[1:]).replace("/", "_")
    with exclusive(home / f"lock {name}", name):
        send({"event": "started"})
        try:
            while not (home / "go on").exists():
                time.sleep(0.1)
        except BaseException:
            time.sleep(0.5)
            (home / f"saved {name}").touch()
            raise
        with (home / "done").open("a") as done:
            print(name, file=done)

parser = argparse.ArgumentParser()
parser.add_argument("words", nargs="*")
parser.add_argument("--partition", action="append")
run_step(main, parser)
"""
RUN = """
import os, sys
from pathlib import Path
from rsft_assets.defs.launchers import StepCall
from rsft_assets.defs.on_ray.launcher import RayLauncher
from rsft_assets.specs.placement import load_placement
words = tuple(sys.argv[1:]) or ("verdicts/few_n4",)
call = StepCall("sleeping_step", words, Path(os.environ["RSFT_HOME"]), "sleeping")
for event in RayLauncher(load_placement()).run(call):
    print(event["event"], event.get("words", ""), flush=True)
"""
RSFT = [sys.executable, "-m", "rsft_assets.commands.cli"]


def new_rig(folder):
    for name, text in (("study.toml", STUDY), ("placement.toml", PLACEMENT), ("sleeping_step.py", STEP)):
        (folder / name).write_text(text)
    return RayRig(folder)


def settings(rig, home, **others):
    (rig.folder / home).mkdir(exist_ok=True)
    files = {name: str(rig.folder / f"{name.lower()}.toml") for name in ("STUDY", "PLACEMENT")}
    return {"RSFT_HOME": str(rig.folder / home)} | {f"RSFT_{name}": path for name, path in files.items()} | others


def wait_until(true, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.1)
    return true()


def runs(process):
    try:
        # The first process of a host waits for its own children only.
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def steps_at_work(rig):
    steps = [step for host in rig.hosts.values() for step in host.processes("sleeping_step")]
    return [step for step in steps if "-m sleeping_step" in " ".join(step.cmdline())]


def said_until(command, word):
    """The first line of a command, from here on, that has this word."""
    said = next((line for line in command.stdout if word in line), "")
    assert said, f"it ended before it said {word!r}"
    return said
