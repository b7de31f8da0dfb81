"""What a training needs before it starts: memory of each process and disk, refused with advice where it cannot fit.

In: the model's config and size, a placement, the lengths of its rows, the checkpoints to keep. Out: numbers
for the log.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.placement import Placement
from rsft_assets.steps.checkpoints.training.disk import checkpoint_bytes, disk_bytes, resume_bytes
from rsft_assets.steps.checkpoints.training.layers import compiles
from rsft_assets.steps.checkpoints.training.loss import LOGIT_BYTES, chunk_logits
from rsft_assets.steps.checkpoints.training.models import parameters_of, shape_of
from rsft_assets.steps.processes.events import say_note
from rsft_assets.steps.processes.hardware import GIB, free_memory, gpus

_ROOM = 1.05
_FIXED_BYTES = GIB // 2
"""Libraries, buffers of the collective calls, fragments."""
_HOST_BYTES = 3 * GIB
"""Of the machine's own memory for each process on a GPU: libraries and buffers. The base model's files are mapped,
not copied, and shared by all processes."""


@dataclass(frozen=True)
class Estimate:
    """Bytes, of one process where it says so."""

    states: int
    """Weights, gradients and optimizer state of one process."""
    activations: int
    """Of one micro-batch on one process."""
    tokens: int
    """Of that micro-batch: the budget, or the longest row where that is more."""
    recompute: float
    """Share of layers whose insides are computed again in the backward pass."""
    checkpoint: int
    """Also what the first process gathers in the machine's memory to write one."""
    resume: int
    disk: int
    """Everything this training will add at its fullest."""

    @property
    def memory(self) -> int:
        return int((self.states + self.activations + _FIXED_BYTES) * _ROOM)


def estimate(
    config: Any,
    parameters: int,
    precision: str,
    placement: Placement,
    *,
    longest: int,
    kept: int,
    recompute: float,
    gpu: int | None = None,
) -> Estimate:
    """Memory and disk of one training, from the model's shape and the placement; `gpu` is the memory of one."""
    width = 4 if precision == "fp32" else 2
    stage = max(placement.zero_stage, 1) if precision == "bf16" else placement.zero_stage
    shares = [placement.processes if stage >= at else 1 for at in (3, 2, 1)]
    weights, gradients = (
        parameters * width // shares[0],
        parameters * (4 if precision == "bf16" else width) // shares[1],
    )
    moments = parameters * {"fp32": 8, "bf16-pure": 4, "bf16": 12}[precision] // shares[2]
    tokens = max(placement.micro_batch_tokens, longest)
    return Estimate(
        states=weights + gradients + moments,
        activations=_activations(
            config, tokens, width, recompute, gpu, compiled=compiles(placement, "cuda" if gpu else "cpu", stage)
        ),
        tokens=tokens,
        recompute=recompute,
        checkpoint=checkpoint_bytes(parameters, precision),
        resume=resume_bytes(parameters, precision),
        disk=disk_bytes(parameters, precision, kept),
    )


def fitting(base: Path, precision: str, placement: Placement, device: str, *, longest: int, kept: int) -> Estimate:
    """The estimate with as few layers computed again as memory allows, with all where that is not enough either.

    Where the placement says a share, and on a CPU, where that is none, with this share.
    """
    config, parameters = shape_of(base), parameters_of(base)
    memory = None if device == "cpu" else _memory(placement, device)[0]
    layers = config.num_hidden_layers
    shares = [again / layers for again in range(layers + 1)] if memory is not None else [0.0]
    if placement.recompute_share is not None:
        shares = [placement.recompute_share]
    costs = (
        estimate(config, parameters, precision, placement, longest=longest, kept=kept, recompute=share, gpu=memory)
        for share in shares
    )
    return next(cost for cost in costs if cost.recompute == shares[-1] or cost.memory <= (memory or 0))


def _activations(config: Any, tokens: int, width: int, recompute: float, gpu: int | None, *, compiled: bool) -> int:
    """Bytes kept for the backward pass: layer inputs, the insides of layers not computed again, the loss."""
    hidden, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    one_layer = tokens * (9 * hidden + 3 * inner if compiled else 16 * hidden + 4 * inner) * width
    # Those computed again are so one at a time, after the others have let go of theirs.
    insides = one_layer * max(1, layers - round(recompute * layers))
    logit_bytes = width if compiled else LOGIT_BYTES
    at_once, all_logits = chunk_logits(gpu, recompute, logit_bytes), tokens * config.vocab_size
    logits = min(at_once, all_logits) * logit_bytes
    matrix = config.vocab_size * hidden * (width if compiled and all_logits <= at_once else 4)
    return int(layers * tokens * hidden * width + insides + logits + matrix)


def check(cost: Estimate, placement: Placement, device: str, home: Path, what: str) -> None:
    """Refuse what cannot fit, with what would help; else say the numbers."""
    free, where, processes = _memory(placement, device)
    needed = cost.memory * processes + (cost.checkpoint if device == "cpu" else 0)
    gib = needed / GIB
    if needed > free:
        raise StepError(
            f"{what} needs about {gib:.1f} GiB of {where}, which has {free / GIB:.1f} GiB: "
            f"{cost.states * processes / GIB:.1f} for weights, gradients and optimizer, "
            f"{cost.activations * processes / GIB:.1f} for activations of {cost.tokens} tokens. "
            f"{advice(cost, placement, device)}"
        )
    host = cost.checkpoint + placement.processes * _HOST_BYTES
    if device != "cpu" and host > (unused := free_memory()):
        raise StepError(
            f"{what} needs about {host / GIB:.1f} GiB of this machine's own memory, which has {unused / GIB:.1f} GiB "
            f"free: {cost.checkpoint / GIB:.1f} to gather a checkpoint before it is written, "
            f"{_HOST_BYTES / GIB:.0f} for each of {placement.processes} processes; free some, or lower processes"
        )
    room = shutil.disk_usage(_existing(home)).free
    if cost.disk > room:
        raise StepError(
            f"{what} writes about {cost.disk / GIB:.2f} GiB ({cost.checkpoint / GIB:.2f} a checkpoint, "
            f"{cost.resume / GIB:.2f} for the state to resume from, twice for a moment), and {home} has "
            f"{room / GIB:.2f} GiB free; make room, set RSFT_HOME to a larger disk, or ask for fewer steps"
        )
    copied = f"saving takes up to {cost.resume / GIB:.2f} GiB more of this machine's memory, where twice that is free"
    say_note(f"{what}: about {gib:.2f} GiB of {where}, {cost.disk / GIB:.2f} GiB of disk; {copied}")


def advice(cost: Estimate, placement: Placement, device: str) -> str:
    """What would need less; processes share what zero_stage says, but those of a CPU share one memory, too."""
    ways = ["set recompute_share = 1"] if device != "cpu" and cost.recompute < 1 else []
    shares = placement.zero_stage == 3
    if placement.processes > 1 and not shares:
        ways.append("raise zero_stage (3 shares everything between processes)")
    if device != "cpu":
        ways.append("raise processes" if shares else "raise processes, with zero_stage = 3")
    if cost.tokens == placement.micro_batch_tokens:
        ways.append("lower micro_batch_tokens")
    rows = f"; its longest row has {cost.tokens} tokens" if cost.tokens > placement.micro_batch_tokens else ""
    return (f"In the placement, {'; or '.join(ways)}" if ways else "Use a larger machine, or a lower max_length") + rows


def _memory(placement: Placement, device: str) -> tuple[int, str, int]:
    """(free bytes, what they are, processes that share them)."""
    if device != "cpu":
        name, total = gpus()[0]
        return total, f"memory on each {name}", 1
    return free_memory(), "this machine's free memory", placement.processes


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)
