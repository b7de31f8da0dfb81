"""What is answered without a cluster: no package, and a home that a node does not share."""

import fcntl
import importlib.util
from pathlib import Path

import pytest

from rsft_assets.defs.launchers import LAUNCHERS, placement_of
from rsft_assets.defs.on_ray import probe
from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.placement import Placement
from rsft_assets.specs.study import load_study


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(StepError, match=r"launcher 'ray' needs the package ray: pip install 'rsft_assets\[ray\]'"):
        LAUNCHERS["ray"](Placement(launcher="ray"))


@pytest.mark.parametrize(
    ("asset", "launcher"),
    [
        ("queries/nano-math", "local"),
        ("responses/nano-math_procedural_n4", "ray"),
        ("verdicts/nano-math_procedural_n4", "ray"),
        ("datasets/nano-cot", "local"),
        ("base_models/nano-300k", "local"),
        ("checkpoints/nano-300k", "ray"),
        ("benchmarks/nano-dot", "local"),
        ("scores/nano-300k/nano-dot", "ray"),
    ],
)
def test_only_stages_with_partitions_leave_this_machine(tmp_path, monkeypatch, asset, launcher):
    (tmp_path / "placement.toml").write_text('[default]\nlauncher = "ray"\n')
    monkeypatch.setenv("RSFT_PLACEMENT", str(tmp_path / "placement.toml"))
    assert placement_of(load_study(), Ref(asset)).launcher == launcher


@pytest.fixture
def check(tmp_path):
    path = tmp_path / ".ray-check"
    path.touch()
    return path


def test_a_home_that_is_shared_is_written_to(check):
    with check.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert probe.home_problem(check, "n1") == ""
    assert check.with_name(".ray-check-n1").read_text() == "n1"


def test_locks_that_do_not_hold_between_nodes_are_found(check):
    assert "it could lock" in probe.home_problem(check, "n1")


def test_a_home_that_is_not_there_or_cannot_be_written_is_named(check, monkeypatch):
    monkeypatch.setattr(probe, "_APPEARS_SECONDS", 0.0)
    assert "it does not see" in probe.home_problem(check.parent / "elsewhere" / ".ray-check", "n1")
    with check.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        def refuse(*_):
            raise OSError(30, "Read-only file system")

        monkeypatch.setattr(Path, "write_text", refuse)
        assert "it cannot write into" in probe.home_problem(check, "n1")
