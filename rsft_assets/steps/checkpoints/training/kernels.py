"""Which kernel attends to packed rows: the one that the placement asks for, or the fastest that can be had.

    model.rows_kernel = choose("auto", model, "cuda:0")

A kernel can be had where the card's compute capability and what is installed allow it, and where it gives the padded
path's output and gradient in a trial with this model's heads. FlashAttention 3 and 4 are packages that torch puts
under its own calls, for the whole process.
"""

import logging
import math
from typing import Any

import torch
from torch.nn.attention import (
    SDPBackend,
    activate_flash_attention_impl,
    current_flash_attention_impl,
    restore_flash_attention_impl,
    sdpa_kernel,
)

from rsft_assets.specs.errors import StepError
from rsft_assets.steps.checkpoints.training.attention import (
    CUDNN,
    LONG_ROW,
    PADDED,
    Rows,
    confined_attention,
    takes_rows,
)

log = logging.getLogger(__name__)
AUTO = "auto"
_FASTEST_FIRST = ("flash4", "flash3", CUDNN, "flash2", PADDED)
_NAMES_IN_TORCH = {"flash4": "FA4", "flash3": "FA3"}
_FROM_8 = tuple(range(8, 13))
_CAPABILITIES = {"flash4": (9, 10), "flash3": (9,), CUDNN: _FROM_8, "flash2": _FROM_8}
"""First numbers of the compute capabilities that a kernel runs on."""
_CUDNN_IS_FASTER = (9, 10)
_HALF = (torch.bfloat16, torch.float16)
_TRIAL_ROWS = (LONG_ROW + 1, 100)
_PRIME = 9_973
_TOLERANCE = 0.02
"""In norm; kernels that are right differ from fp32 by 0.003 in bf16."""


def choose(asked: str, model: Any, device: str) -> str:
    """The kernel of this model's packed rows; a `StepError` where the one asked for cannot be had."""
    if not takes_rows(model):
        if asked not in (AUTO, PADDED):
            raise _cannot_be_had(asked, "the model's own code computes its attention")
        return PADDED
    refusals: dict[str, str] = {}
    for name in _FASTEST_FIRST if asked == AUTO else (asked,):
        refusal = _refusal(name, model, device, by_itself=asked == AUTO)
        if refusal is None:
            break
        refusals[name] = refusal
    else:
        raise _cannot_be_had(asked, refusals[asked])
    if device.startswith("cuda"):
        log.info("attention of packed rows: %s%s", name, "".join(f"; not {n}: {why}" for n, why in refusals.items()))
    return name


def _cannot_be_had(asked: str, why: str) -> StepError:
    return StepError(f'the placement says attention = "{asked}", but {why}; use "auto" or another kernel')


def _refusal(name: str, model: Any, device: str, *, by_itself: bool) -> str | None:
    """Why this kernel cannot be had, or, where nobody asked for it, is not used; None where it is made ready."""
    if not device.startswith("cuda"):
        return None if name == PADDED else "it needs a GPU, and this training runs on the CPU"
    dtype = next(model.parameters()).dtype
    if name != PADDED:
        if dtype not in _HALF:
            return f"it computes in bf16 or fp16, and the weights are in {dtype}"
        major, minor = torch.cuda.get_device_capability(device)
        if major not in _CAPABILITIES[name]:
            needed = ", ".join(f"{first}.x" for first in _CAPABILITIES[name])
            return f"{torch.cuda.get_device_name(device)} has compute capability {major}.{minor}, and it needs {needed}"
        if name == CUDNN and by_itself and major not in _CUDNN_IS_FASTER:
            return f"it gains nothing on {torch.cuda.get_device_name(device)}"
        if name == CUDNN and torch.are_deterministic_algorithms_enabled():
            return "its backward pass does not repeat to the bit, and the placement says deterministic = true"
    try:
        _activate(name)
        return None if name == PADDED else _trial(name, model.config, dtype, device)
    except Exception as error:  # packages of others, which compile at the first call
        return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def _activate(name: str) -> None:
    if name in _NAMES_IN_TORCH:
        activate_flash_attention_impl(_NAMES_IN_TORCH[name])
    elif current_flash_attention_impl() is not None:
        # Of an earlier training in this process, or of one that failed its trial.
        restore_flash_attention_impl()


def _trial(name: str, config: Any, dtype: torch.dtype, device: str) -> str | None:
    """What is wrong with the output or the gradient of two rows."""
    heads = config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads

    def numbers(count: int, factor: int) -> torch.Tensor:
        """Sines that lie as random numbers do: in a regular pattern, differences of rounding would add up."""
        shape = (1, count, sum(_TRIAL_ROWS), size)
        places = torch.arange(math.prod(shape), device=device).square() % _PRIME
        return (places * factor).sin().view(shape).to(dtype)

    pairs = config.num_key_value_heads
    query, key, value = (numbers(*each).requires_grad_() for each in ((heads, 1), (pairs, 2), (pairs, 3)))
    slope = numbers(heads, 4).transpose(1, 2)

    def found(kernel: str) -> list[torch.Tensor]:
        attended, _ = confined_attention(None, query, key, value, None, rows=Rows(_TRIAL_ROWS, device, kernel))
        return [attended.detach(), *torch.autograd.grad(attended, (query, key, value), slope)]

    ours = found(name)
    # The packages of FlashAttention also stand under torch's own call, and would be compared with themselves.
    with sdpa_kernel(SDPBackend.MATH):
        right = found(PADDED)
    gaps = [float((a - b).float().norm() / b.float().norm()) for a, b in zip(ours, right, strict=True)]
    if not all(gap <= _TOLERANCE for gap in gaps):
        return f"in a trial its output and gradient differ from the padded path's by {gaps} in norm"
    if torch.are_deterministic_algorithms_enabled() and not all(map(torch.equal, ours, found(name))):
        return "in a trial its backward pass did not repeat to the bit"
    return None
