"""Stages as programs: what the command line asks for is made in the store of the environment."""

import sys

import pytest

from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.records.stage import run_stage, run_stage_at_once

SHARDS = [Ref("responses/nano-math_procedural_n4", key) for key in ("0", "1")]


@pytest.mark.parametrize(
    ("run", "expected"), [(run_stage, [(ref, True) for ref in SHARDS]), (run_stage_at_once, [(SHARDS, True)])]
)
def test_a_stage_makes_what_is_asked_for(run, expected, tmp_path, monkeypatch):
    made = []

    def make(study, store, asked, *, force):
        assert store.home == tmp_path
        made.append((asked, force))

    monkeypatch.setenv("RSFT_HOME", str(tmp_path))
    partitions = [word for ref in SHARDS for word in ("--partition", ref.partition)]
    monkeypatch.setattr(sys, "argv", ["stage", SHARDS[0].asset, *partitions, "--force"])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit) as end:
        run(make, "A stage.")
    assert end.value.code == 0
    assert made == expected
