"""The GPUs of a training: made deterministic where the placement says so, named where they differ or fail.

In: this process's device. Out: settings of torch and of the libraries under it; words for people.
"""

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.placement import Placement

log = logging.getLogger(__name__)
_DETERMINISTIC_LIBRARIES = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8", "NCCL_ALGO": "Ring"}
"""cuBLAS adds in the same order where its workspace is fixed, NCCL where it neither measures nor adds in the switch."""

_NO_MEMORY = ("out of memory", "ALLOC_FAILED")
"""In errors of CUDA, cuBLAS and NCCL, whose memory is not torch's."""


def repeats(placement: Placement, device: str) -> bool:
    """Whether a training repeats and resumes to the bit on the same kind and number of devices."""
    return placement.deterministic or device == "cpu"


def set_determinism(placement: Placement, device: str) -> None:
    """Before this process uses its GPU: the libraries read their settings when they start. A CPU needs none."""
    wanted = placement.deterministic and device != "cpu"
    if wanted == torch.are_deterministic_algorithms_enabled():
        return
    import torch._functorch.config as functorch
    import torch._inductor.config as inductor

    if wanted:
        for name, value in _DETERMINISTIC_LIBRARIES.items():
            os.environ.setdefault(name, value)
    torch.use_deterministic_algorithms(wanted)
    # Else torch.compile would choose the order of its sums by time, anew in each process.
    inductor.deterministic = wanted
    # That holds for this thread only, and a GPU's backward pass has one of its own: compile it with the forward pass.
    functorch.force_non_lazy_backward_lowering = wanted
    # Uninitialised memory is not read, and filling it takes time.
    memory: Any = torch.utils.deterministic
    memory.fill_uninitialized_memory = False


def describe(device: str) -> str:
    """A GPU's index, name and UUID, as nvidia-smi lists it."""
    card = torch.cuda.get_device_properties(device)
    return f"{device} ({card.name}, GPU-{card.uuid})"


def warn_of_mixed(device: str) -> None:
    """Of different GPUs; every process of a training must call it."""
    if device == "cpu":
        return
    names: list[str] = [""] * dist.get_world_size()
    dist.all_gather_object(names, torch.cuda.get_device_name(device))
    if len(set(names)) > 1 and dist.get_rank() == 0:
        log.warning(
            "the GPUs of this training differ: %s. Each step takes as long as on the slowest, and each holds what the "
            "smallest can; name GPUs of one kind in CUDA_VISIBLE_DEVICES to use only those",
            ", ".join(f"{name} (process {', '.join(_places(names, name))})" for name in dict.fromkeys(names)),
        )


def _places(names: list[str], wanted: str) -> list[str]:
    return [str(rank) for rank, name in enumerate(names) if name == wanted]


@contextlib.contextmanager
def failures_named(device: str) -> Iterator[None]:
    """An error of the GPU, or of the calls between GPUs, as a `StepError` that names the GPU and the remedy.

    Where memory ran out in a library, an `OutOfMemoryError`, as where it did in torch.
    """
    if device == "cpu":
        yield
        return
    # A GPU that is lost can no longer be asked.
    card = describe(device)
    try:
        yield
    except RuntimeError as error:
        # Those of cuBLAS have no type of their own.
        between = isinstance(error, dist.DistBackendError)
        if not (between or isinstance(error, torch.AcceleratorError) or str(error).startswith("CUDA error")):
            raise
        if any(word in str(error) for word in _NO_MEMORY):
            raise torch.OutOfMemoryError(str(error).splitlines()[0]) from error
        rank = dist.get_rank() if dist.is_initialized() else 0
        what = " lost the others or" if between else ""
        raise StepError(
            f"training process {rank} on {card}{what} failed: {(str(error).splitlines() or [''])[0]}. The last saved "
            "state is kept: run the same command again to resume from it. If nvidia-smi no longer lists the GPU, or "
            "it fails again, leave it out of CUDA_VISIBLE_DEVICES"
        ) from error
