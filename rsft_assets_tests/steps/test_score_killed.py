"""The score step as a process of its own, killed with -9 while it generates, and started again."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from rsft_assets.specs.lineage import score_ref
from rsft_assets.specs.study import load_study
from rsft_assets.steps.completions import read_completions
from rsft_assets.steps.records.manifest import read_manifest
from rsft_assets.steps.records.store import Output, Store
from rsft_assets_tests.steps.small_chain import publish_upstream

pytestmark = pytest.mark.slow
ITEMS = 400


def start(ref, home):
    command = [sys.executable, "-m", "rsft_assets.steps.score", ref.asset, "--partition", ref.partition]
    environment = {**os.environ, "RSFT_HOME": str(home), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def journal_lines(home):
    return sum(path.read_bytes().count(b"\n") for path in home.rglob(".completions.jsonl"))


def test_five_kills_and_every_answer_is_there_once(tmp_path):
    study, store, chance = load_study(), Store(tmp_path), random.Random(4)
    ref = score_ref(study.runs_of("nano-300k")[0], 0, "nano-format")
    items = [
        {"item_id": f"i{n}", "question": f"Say {n}.", "gold": "x", "fields": {"expected": "x"}} for n in range(ITEMS)
    ]
    publish_upstream(study, store, ref, dict.fromkeys(study.benchmarks, items))
    kept = 0
    for _ in range(5):
        process = start(ref, tmp_path)
        wanted = kept + chance.randint(5, 40)
        while process.poll() is None and journal_lines(tmp_path) < wanted:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert journal_lines(tmp_path) >= kept or store.current(ref)
        kept = journal_lines(tmp_path)
    process = start(ref, tmp_path)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    score = store.current(ref)
    folder = tmp_path / score.stats["completions"]["folder"]
    answers = Counter(
        (row["item_id"], row["sample"]) for row in read_completions(Output(folder, read_manifest(folder)))
    )
    samples = study.benchmarks["nano-format"].sampling.n
    assert answers == {(f"i{n}", sample): 1 for n in range(ITEMS) for sample in range(samples)}
    assert score.stats["samples"] == ITEMS * samples
