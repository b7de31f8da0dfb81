"""Two runs of the nano study trained and scored beside each other, against one after the other, in the same rounds.

    python -m rsft_assets_tests.benchmarks.side_by_side [--rounds 3]

Times are those of `rsft materialize`, start of its processes included; the base is hardly pretrained, so its answers
are longer than a good one's.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STUDY = """
extends = "nano"
[models.hasty]
family = "qwen3"
parameters = 326_612
needs_gpu = false
[models.hasty.origin]
layers = 3
hidden = 88
heads = 4
mixture = "nano-skills"
steps = 60
batch_tokens = 1_024
lr = 3e-3
context = 192
seed = 1
[schedules.short]
lr = 1e-4
epochs = 2
batch_size = 16
precision = "fp32"
grid = [40]
[[runs]]
model = "hasty"
dataset = "nano-cot"
schedule = "short"
max_length = 256
[[runs]]
model = "hasty"
dataset = "nano-unverified-cot"
schedule = "short"
max_length = 256
"""
INPUTS = ("base_models/hasty", "datasets/nano-cot", "datasets/nano-unverified-cot", "benchmarks/nano-*")
WORK = {"training": "checkpoints/hasty", "scoring": "scores/hasty/*"}


def materialize(folder: Path, home: Path, *selections: str, runs: int = 1, upstream: bool = False) -> float:
    """Seconds of one command."""
    placement = folder / f"placement{runs}.toml"
    placement.write_text(f"[default]\nruns = {runs}\n")
    environment = {
        **os.environ,
        "RSFT_HOME": str(home),
        "RSFT_STUDY": str(folder / "study.toml"),
        "RSFT_PLACEMENT": str(placement),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "rsft_assets.commands.cli", "materialize", *selections, *["--upstream"] * upstream]
    started = time.perf_counter()
    subprocess.run(command, env=environment, check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    ratios: dict[str, list[float]] = {what: [] for what in WORK}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "study.toml").write_text(STUDY)
        materialize(folder, folder / "inputs", *INPUTS, upstream=True)
        for number in range(rounds):
            seconds: dict[tuple[str, int], float] = {}
            for runs in (1, 2):
                home = folder / f"home-{number}-{runs}"
                shutil.copytree(folder / "inputs", home, symlinks=True)
                for what, selection in WORK.items():
                    seconds[what, runs] = materialize(folder, home, selection, runs=runs)
                shutil.rmtree(home)
            for what, found in ratios.items():
                found.append(seconds[what, 1] / seconds[what, 2])
    for what, found in ratios.items():
        print(
            f"{what}: {statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f}) times as fast side by side"
        )


if __name__ == "__main__":
    main()
