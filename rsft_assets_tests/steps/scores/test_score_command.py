"""The score command as people run it: a change of grading grades stored texts again, and no text is drawn twice."""

import os
import subprocess
import sys

import pytest

from rsft_assets.specs.lineage import score_ref
from rsft_assets.specs.study import load_study
from rsft_assets.steps.records.store import Store
from rsft_assets_tests.steps.small_chain import publish_upstream

pytestmark = pytest.mark.slow
CHANGED = """
import dataclasses, runpy, sys
from rsft_assets.steps.scores.grading.task import Grade, each
from rsft_assets.steps.scores.kinds import nano_format
grade = each(lambda sample, grader: [Grade("accuracy", 1.0, "changed")])
nano_format.TASK = dataclasses.replace(nano_format.TASK, grade=grade)
runpy.run_module("rsft_assets.steps.scores.score", run_name="__main__")
"""


def run(home, ref, *how, **settings):
    command = [sys.executable, *how, ref.asset, "--partition", ref.partition]
    environment = {**os.environ, "RSFT_HOME": str(home), "OMP_NUM_THREADS": "1", **settings}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


def test_a_change_of_grading_grades_again_without_an_engine(tmp_path):
    study, store = load_study(), Store(tmp_path)
    ref = score_ref(study.runs_of("nano-300k")[0], 0, "nano-format")
    items = [{"question": f"Say {n}.", "gold": "x", "fields": {"expected": "x"}} for n in range(6)]
    publish_upstream(study, store, ref, dict.fromkeys(study.benchmarks, items))
    first = run(tmp_path, ref, "-m", "rsft_assets.steps.scores.score")
    assert first.returncode == 0, first.stderr
    before = store.current(ref)
    # Nothing listens there: whatever asked an engine for a text would fail.
    (tmp_path / "placement.toml").write_text('[default]\nengine = "endpoint"\nendpoint = "http://127.0.0.1:9/v1"\n')
    nowhere = {"RSFT_PLACEMENT": str(tmp_path / "placement.toml")}
    kept = run(tmp_path, ref, "-c", CHANGED, **nowhere)
    assert kept.returncode == 0, kept.stderr
    assert store.current(ref).folder == before.folder
    again = run(tmp_path, ref, "-c", CHANGED, "--force", **nowhere)
    assert again.returncode == 0, again.stderr
    after = store.current(ref)
    assert before.stats["value"] < after.stats["value"] == 1.0
    assert before.stats["completions"] == after.stats["completions"]
