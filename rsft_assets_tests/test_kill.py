"""`kill -9` at random moments of a whole study, then the same command again: the same outputs to the byte."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rsft_assets.steps.records.store import Store
from rsft_assets_tests.proof.cases import Bench
from rsft_assets_tests.proof.pipeline import study_file

ASKED = ("scores/pico/small-*", "results/*", "--upstream")
COMMAND = [sys.executable, "-m", "rsft_assets.commands.cli", "materialize", *ASKED]
KILLS = int(os.environ.get("RSFT_TEST_KILLS", "3"))


def start(tmp_path, home):
    study = study_file(Bench(tmp_path, seed=0))
    environment = {**os.environ, "RSFT_HOME": str(home), "RSFT_STUDY": str(study)}
    environment.pop("DAGSTER_HOME", None)
    return subprocess.Popen(
        COMMAND, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def digests(home):
    return {
        str(output.manifest.ref): output.digest
        for output in Store(home).outputs()
        if output.manifest.ref.stage != "completions"
    }


def at_work_in(home):
    """Command lines of the processes that still work for this home."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"RSFT_HOME={home}\0".encode() in (place / "environ").read_bytes() + b"\0":
                found.append((place / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def finish(process, home):
    """Wait for it to end well."""
    try:
        said, _ = process.communicate(timeout=900)
    except subprocess.TimeoutExpired:
        still = at_work_in(home)
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail(f"not done in 15 minutes; at work: {still}\n{process.communicate()[0][-3_000:]}")
    assert process.returncode == 0, said[-3_000:]


@pytest.mark.slow
def test_a_study_killed_at_random_ends_as_one_never_killed(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    started = time.monotonic()
    finish(start(tmp_path, whole), whole)
    lasted = time.monotonic() - started

    seed = os.environ.get("RSFT_TEST_SEED") or str(time.time_ns())
    print(f"RSFT_TEST_SEED={seed}")
    moments = random.Random(seed)
    for _ in range(KILLS):
        process = start(tmp_path, killed)
        try:
            process.communicate(timeout=moments.uniform(0.05, 0.6) * lasted)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    finish(start(tmp_path, killed), killed)
    assert digests(killed) == digests(whole) != {}
    assert at_work_in(killed) == []
