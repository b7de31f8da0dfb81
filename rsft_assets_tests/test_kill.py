"""`kill -9` at random moments of a whole study, then the same command again: the same outputs to the byte."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from rsft_assets.steps.records.store import Store

STUDY = """
extends = "nano"
[models.pico]
family = "qwen3"
parameters = 100_000
needs_gpu = false
[models.pico.origin]
layers = 1
hidden = 32
heads = 2
mixture = "nano-skills"
steps = 20
batch_tokens = 1024
lr = 1e-3
context = 256
seed = 1
[schedules.tiny]
lr = 1e-3
epochs = 1
batch_size = 64
precision = "fp32"
grid = [5, 10]
[[runs]]
model = "pico"
dataset = "nano-cot"
schedule = "tiny"
max_length = 256
"""
COMMAND = [sys.executable, "-m", "rsft_assets.cli", "materialize", "scores/pico/*", "results/*", "--upstream"]
KILLS = int(os.environ.get("RSFT_TEST_KILLS", "3"))


def start(tmp_path, home):
    (tmp_path / "study.toml").write_text(STUDY)
    environment = {**os.environ, "RSFT_HOME": str(home), "RSFT_STUDY": str(tmp_path / "study.toml")}
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


@pytest.mark.slow
def test_a_study_killed_at_random_ends_as_one_never_killed(tmp_path):
    whole = start(tmp_path, tmp_path / "whole")
    started = time.monotonic()
    said, _ = whole.communicate(timeout=900)
    assert whole.returncode == 0, said[-3_000:]
    lasted = time.monotonic() - started

    moments = random.Random(os.environ.get("RSFT_TEST_SEED"))
    for _ in range(KILLS):
        process = start(tmp_path, tmp_path / "killed")
        try:
            process.communicate(timeout=moments.uniform(0.05, 0.6) * lasted)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    last = start(tmp_path, tmp_path / "killed")
    said, _ = last.communicate(timeout=900)
    assert last.returncode == 0, said[-3_000:]
    assert digests(tmp_path / "killed") == digests(tmp_path / "whole") != {}
