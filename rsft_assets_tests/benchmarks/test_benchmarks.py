"""Benchmarks are run by hand, so that a change of what they measure is noticed here."""

import subprocess
import sys
from pathlib import Path

import pytest

MODULES = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith(("test_", "_")))


@pytest.mark.slow
def test_every_benchmark_can_be_imported():
    imports = "; ".join(f"import rsft_assets_tests.benchmarks.{name}" for name in MODULES)
    done = subprocess.run([sys.executable, "-c", imports], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_saving_is_measured(tmp_path):
    command = [sys.executable, "-m", "rsft_assets_tests.benchmarks.state_saving", "--size", "1m", "--rounds", "1"]
    done = subprocess.run([*command, "--folder", tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "ours" in done.stdout and "plain" in done.stdout
