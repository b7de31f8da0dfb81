"""Cases of `training_speed` in processes of their own; what one found is there even if the next one fails.

In: cases as JSON. Out: for each, what its trainer took, memory and model FLOPs, or how it failed.
"""

import gc
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any

from rsft_assets.specs.placement import Placement
from rsft_assets_tests.benchmarks.trainers import TRAINERS
from rsft_assets_tests.benchmarks.training_cases import Case, batches, model_of

GIB = 2**30
FOUND = "found: "


def measure(cases: list[dict[str, Any]], until: float | None) -> Iterator[dict[str, Any]]:
    """What each case took, as soon as it is known; a process takes as many of ours in a row as it can.

    A case that ends its process is told as failed, and the next process goes on after it. Past `until` (monotonic
    seconds) nothing more is measured.
    """
    left = list(cases)
    while left and (until is None or time.monotonic() < until):
        more, before = itertools.takewhile(lambda case: _goes_with(left[0], case), left[1:]), len(left)
        share = [left[0], *more]
        with tempfile.TemporaryFile("w+") as errors:
            for found in _one_process(share, errors, until):
                yield left.pop(0) | found
            if len(left) == before and (until is None or time.monotonic() < until):
                errors.seek(0)
                yield left.pop(0) | {"failed": (errors.read().strip().splitlines() or ["it ended without a word"])[-1]}


def _goes_with(first: dict[str, Any], case: dict[str, Any]) -> bool:
    """Whether one process measures both."""
    # On a CPU the memory of a process is told; TRL reads the environment that ours sets; libraries are told once
    # whether to be deterministic.
    same = all(one["trainer"] == "ours" and one["placement"]["device"] != "cpu" for one in (first, case))
    return same and all(not one["placement"].get("deterministic") for one in (first, case))


def _one_process(share: list[dict[str, Any]], errors: Any, until: float | None) -> Iterator[dict[str, Any]]:
    command = [sys.executable, "-m", __spec__.name, json.dumps(share)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
    limit = threading.Timer(max(0.0, until - time.monotonic()) if until is not None else 1e6, process.kill)
    limit.start()
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(FOUND):
                yield json.loads(line.removeprefix(FOUND))
    finally:
        limit.cancel()
        process.kill()
        process.wait()


def run(share: list[dict[str, Any]]) -> int:
    """Each case in turn in this process, until one fails or leaves memory behind."""
    import torch

    torch.set_num_threads(1)
    for one in share:
        case = Case(one["size"], one["precision"], Placement(**one["placement"]))
        try:
            found = took(case, one["trainer"])
        except Exception as error:
            traceback.print_exc()
            # After an error a GPU's context may be of no more use.
            words = (str(error).splitlines() or [""])[0]
            print(FOUND + json.dumps({"failed": f"{type(error).__name__}: {words}"}), flush=True)
            return 1
        print(FOUND + json.dumps(found), flush=True)
        # Twice: tensors that only PyTorch's own objects held on to come free in the second pass.
        gc.collect()
        gc.collect()
        if case.device != "cpu":
            torch.cuda.empty_cache()
            if torch.cuda.memory_allocated() > GIB:
                return 0
    return 0


def took(case: Case, trainer: str) -> dict[str, Any]:
    """One case: what the trainer says, and what is told of the device."""
    import torch

    gpu = case.device != "cpu"
    if gpu:
        # The compiler gives up on code that it has compiled eight times, and each case compiles it anew.
        torch._dynamo.reset()
        torch.cuda.reset_peak_memory_stats()
    found: dict[str, Any] = TRAINERS[trainer](case)
    found |= {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, "torch": torch.__version__}
    found |= {"device": torch.cuda.get_device_name() if gpu else "CPU"}
    for name in ("allocated", "reserved"):
        found[name] = getattr(torch.cuda, f"max_memory_{name}")() / GIB if gpu else None
    if case.of.shape is not None:
        found["mfu"] = mfu(case, found["tokens"] / found["seconds"])
    return found


def mfu(case: Case, rate: float) -> float | None:
    """Share of the card's peak, attention counted over the rows' lengths."""
    import torch

    from rsft_assets.steps.checkpoints.training.gpu import Meter

    meter = Meter(model_of(case, torch.bfloat16, device="meta"), case.device, 1)
    lengths = [len(row) for row in next(batches(case))]
    a_token = meter.flops(sum(lengths), sum(n * n for n in lengths)) / sum(lengths)
    return rate * a_token / meter.peak if meter.peak else None


if __name__ == "__main__":
    sys.exit(run(json.loads(sys.argv[1])))
