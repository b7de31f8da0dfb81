"""Saving the rolling state: this trainer beside the plain way, same tensors and disk, in alternating rounds.

    python -m rsft_assets_tests.benchmarks.state_saving [--rounds 3] [--size 135m] [--device cpu] [--folder .]

The plain way copies each tensor, writes parts of 1 GiB with safetensors' `save_file`, flushes each and reads it again
for its checksum, all in series. `stands still`: seconds until training may go on.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from rsft_assets.specs.placement import Placement
from rsft_assets.steps.checkpoints.training.engine import MOMENTS
from rsft_assets.steps.checkpoints.training.saving import Saver
from rsft_assets.steps.checkpoints.training.state import MASTER, saved_states, whole_tensor
from rsft_assets_tests.benchmarks.training_cases import Case, model_of
from rsft_assets_tests.benchmarks.training_speed import load, spread
from rsft_assets_tests.steps.checkpoints.tiny import saving_session

PLAIN_PART_BYTES = 2**30
Times = tuple[float, float, float]
"""Seconds until training may go on, until the state is on the disk, and of the processor."""


def session_of(size: str, device: str) -> Any:
    """With the weights of a model and moments as large."""
    case = Case(size, "fp32", Placement(device="cpu"))
    parameters = list(model_of(case, torch.float32).to(device).named_parameters())
    moments = {p: {kind: torch.rand_like(p) for kind in MOMENTS} for _, p in parameters}
    return saving_session(parameters, moments, device)


def ours(session: Any, folder: Path) -> Times:
    began, processor = time.perf_counter(), time.process_time()
    with Saver(session, folder, {}, "it") as saver:
        saver.save(1, [])
        still = time.perf_counter() - began
        saver.wait()
        times = still, time.perf_counter() - began, time.process_time() - processor
    [state] = saved_states(folder)
    assert state.check() is None
    return times


def plain(session: Any, folder: Path) -> Times:
    began, processor = time.perf_counter(), time.process_time()
    held: dict[str, torch.Tensor] = {}
    files: list[Path] = []

    def flush() -> None:
        files.append(folder / f"part-{len(files)}.safetensors")
        save_file(held, files[-1])
        with files[-1].open("rb") as file:
            os.fsync(file.fileno())
            seen = 0
            while chunk := file.read(1 << 22):
                seen = zlib.crc32(chunk, seen)
        held.clear()

    for name, parameter in session.named_parameters():
        for kind in (MASTER, *MOMENTS):
            value = whole_tensor(session, parameter, kind)
            held[f"{kind}/{name}"] = value.detach().cpu().contiguous().clone()
        if sum(t.numel() * t.element_size() for t in held.values()) >= PLAIN_PART_BYTES:
            flush()
    flush()
    seconds = time.perf_counter() - began
    return seconds, seconds, time.process_time() - processor


WAYS: dict[str, Callable[[Any, Path], Times]] = {"ours": ours, "plain": plain}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("1m", "135m"), default="135m")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="on the disk to be measured; default: the temporary folder's")
    arguments = parser.parse_args()
    session = session_of(arguments.size, arguments.device)
    found: dict[str, list[Times]] = {name: [] for name in WAYS}
    # The first round, which is left out, loads libraries.
    for number in range(arguments.rounds + 1):
        for name in sorted(WAYS, reverse=bool(number % 2)):
            folder = Path(tempfile.mkdtemp(dir=arguments.folder))
            try:
                times = WAYS[name](session, folder)
                found[name] += [times] if number else []
            finally:
                shutil.rmtree(folder)
    print(f"{arguments.size}, {arguments.device}, {arguments.rounds} rounds; load {load()}")
    for place, what in enumerate(("stands still", "on the disk", "processor")):
        for name, all_times in found.items():
            print(f"{what:12s} {name:5s} {spread([one[place] for one in all_times], '.3f')} s")
        ratios = [mine[place] / other[place] for mine, other in zip(found["ours"], found["plain"], strict=True)]
        print(f"{what:12s} ours / plain: {spread(ratios, '.2f')}, median of rounds {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
