"""The score step as a process of its own, killed with -9 while it generates, and started again.

Here a CPU answers, so groups that were answered in whole are kept.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from rsft_assets.specs.lineage import score_ref
from rsft_assets.specs.study import _load
from rsft_assets.steps.records.manifest import read_manifest
from rsft_assets.steps.records.store import Output, Store
from rsft_assets.steps.scores.completions import read_completions
from rsft_assets_tests.steps.small_chain import publish_upstream

pytestmark = pytest.mark.slow
ITEMS = 400


STUDY = """
extends = "nano"
[models.adopted]
family = "qwen3"
parameters = 100_000
needs_gpu = false
origin = { repo = "me/adopted", revision = "0123456789abcdef0123456789abcdef01234567" }
[schedules.any]
lr = 1e-3
epochs = 1
batch_size = 64
[[runs]]
model = "adopted"
dataset = "nano-cot"
schedule = "any"
"""


def start(ref, tmp_path):
    command = [sys.executable, "-m", "rsft_assets.steps.scores.score", ref.asset, "--partition", ref.partition]
    places = {"RSFT_HOME": str(tmp_path / "home"), "RSFT_STUDY": str(tmp_path / "study.toml")}
    environment = {**os.environ, **places, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def journal_lines(home):
    return sum(path.read_bytes().count(b"\n") for path in home.rglob(".completions.jsonl"))


def kill_after(process, home, lines):
    while process.poll() is None and journal_lines(home) < lines:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.fixture
def chain(tmp_path):
    """A study and a store with everything that a score of `model` needs."""

    def made(model):
        (tmp_path / "study.toml").write_text(STUDY)
        study, store = _load.__wrapped__(str(tmp_path / "study.toml")), Store(tmp_path / "home")
        ref = score_ref(study.runs_of(model)[0], 0, "nano-format")
        items = [
            {"item_id": f"i{n}", "question": f"Say {n}.", "gold": "x", "fields": {"expected": "x"}}
            for n in range(ITEMS)
        ]
        publish_upstream(study, store, ref, dict.fromkeys(study.benchmarks, items))
        return study, store, ref

    return made


def answers_of(store, ref):
    folder = store.home / store.current(ref).stats["completions"]["folder"]
    return list(read_completions(Output(folder, read_manifest(folder))))


def finish(ref, tmp_path):
    process = start(ref, tmp_path)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors


def test_five_kills_and_every_answer_is_there_once(tmp_path, chain):
    study, store, ref = chain("adopted")
    chance, kept = random.Random(4), 0
    for _ in range(5):
        kill_after(start(ref, tmp_path), store.home, kept + chance.randint(5, 40))
        assert journal_lines(store.home) >= kept or store.current(ref)
        kept = journal_lines(store.home)
    finish(ref, tmp_path)
    samples = study.benchmarks["nano-format"].sampling.n
    answers = Counter((row["item_id"], row["sample"]) for row in answers_of(store, ref))
    assert answers == {(f"i{n}", sample): 1 for n in range(ITEMS) for sample in range(samples)}
    assert store.current(ref).stats["samples"] == ITEMS * samples


@pytest.mark.parametrize("model", ["nano-300k", "adopted"])
def test_answers_are_those_of_a_model_that_was_never_killed(tmp_path, chain, model):
    _, store, ref = chain(model)
    kill_after(start(ref, tmp_path), store.home, 50)
    assert store.current(ref) is None and journal_lines(store.home) >= 50
    # Marked, so that a line that outlived the kill would be seen in the answers.
    journal = next(store.home.rglob(".completions.jsonl"))
    rows = [json.loads(line) | {"text": "left over"} for line in journal.read_bytes().splitlines(keepends=True)[:50]]
    journal.write_text("".join(json.dumps(row) + "\n" for row in rows))
    finish(ref, tmp_path)
    killed = answers_of(store, ref)
    shutil.rmtree(store.home / "completions")
    shutil.rmtree(store.home / "scores")
    finish(ref, tmp_path)
    assert killed == answers_of(store, ref)
    assert len({row["item_id"] for row in killed}) == ITEMS
