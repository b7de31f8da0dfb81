"""Whether torch can use this machine's GPUs, and why not: a driver too old for it, or a build for CPUs."""

import functools
import logging
from typing import Any, Literal

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.placement import Placement
from rsft_assets.steps.processes.hardware import gpus

log = logging.getLogger(__name__)


def torch_device(placement: Placement, *, needs_gpu: bool = False) -> Literal["cpu", "cuda"]:
    """Where torch works under this placement.

    A `StepError` where the placement says cuda, or where the model `needs_gpu` and the GPUs of this machine cannot be
    used; what is made for CPUs then runs on the CPU, which is logged.
    """
    if placement.device == "cpu":
        return "cpu"
    problem = gpu_problem()
    if not problem:
        return "cuda"
    if placement.device == "cuda":
        raise StepError(f'placement says device = "cuda", but {problem}')
    if gpus() and needs_gpu:
        raise StepError(f'{problem}; to use the CPU, set device = "cpu" in the placement')
    if gpus():
        _say_once(f"{problem}; the CPU is used")
    return "cpu"


def gpu_problem() -> str:
    """Why torch has no GPU here, and what would help; empty where it has one."""
    import torch

    if torch.cuda.is_available():
        return ""
    start: Any = torch.cuda.init
    try:
        start()
        reason = "it does not say why"
    except (RuntimeError, AssertionError) as error:
        reason = " ".join(str(error).split())
    if not gpus():
        return f"torch sees no GPU here ({reason})"
    names = ", ".join(dict.fromkeys(name for name, _ in gpus()))
    remedy = "update the driver, or install the build of torch for it (https://pytorch.org/get-started)"
    return f"torch cannot use {names} ({reason}); {remedy}"


@functools.cache
def _say_once(message: str) -> None:
    log.warning("%s", message)
