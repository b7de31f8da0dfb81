"""What a training needs before it starts: memory of each process and disk, refused with advice where it cannot fit.

In: the model's config and size, a placement, the lengths of its rows, the checkpoints to keep. Out: numbers
for the log.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.placement import Placement
from rsft_assets.steps.checkpoints.training.disk import checkpoint_bytes, disk_bytes, resume_bytes
from rsft_assets.steps.checkpoints.training.engine import SHARED_WEIGHTS
from rsft_assets.steps.checkpoints.training.gpu import memory_of
from rsft_assets.steps.checkpoints.training.layers import compiles
from rsft_assets.steps.checkpoints.training.loss import LOGIT_BYTES, chunk_logits
from rsft_assets.steps.checkpoints.training.models import parameters_of, shape_of
from rsft_assets.steps.processes.events import say_note
from rsft_assets.steps.processes.hardware import GIB, free_memory

_ROOM = 1.10
"""torch reserves more than it allocates: on an H100, 3 to 6 % without expandable segments."""
_FIXED_BYTES = GIB // 2
"""Libraries, buffers of the collective calls."""
_BUCKET, _LIVE = 500_000_000, 1_000_000_000
"""DeepSpeed's: gradients that are reduced together from stage 2 on, weights that are whole at a time at stage 3."""
_MOST_PROCESSES = 64
_HOST_BYTES = 3 * GIB
"""Of the machine's own memory for each process on a GPU: libraries and buffers. The base model's files are mapped,
not copied, and shared by all processes."""


@dataclass(frozen=True)
class Estimate:
    """Bytes, of one process where it says so."""

    parameters: int
    """A number, not bytes."""
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
    buffers: int = _FIXED_BYTES
    """What one process keeps beside these, however small the model."""

    @property
    def memory(self) -> int:
        return int((self.states + self.activations + self.buffers) * _ROOM)


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
        parameters=parameters,
        states=weights + gradients + moments,
        activations=_activations(
            config, tokens, width, recompute, gpu, compiled=compiles(placement, "cuda" if gpu else "cpu", stage)
        ),
        tokens=tokens,
        recompute=recompute,
        checkpoint=checkpoint_bytes(parameters, precision),
        resume=resume_bytes(parameters, precision),
        disk=disk_bytes(parameters, precision, kept),
        buffers=_FIXED_BYTES + (_of_deepspeed(parameters, stage, width) if gpu else 0),
    )


def _of_deepspeed(parameters: int, stage: int, width: int) -> int:
    """Its buffers on a GPU; those on a CPU take memory only as far as they are filled."""
    if stage == SHARED_WEIGHTS:
        return 4 * _BUCKET + width * min(parameters, _LIVE)
    return width * _BUCKET if stage == 2 else 0


def fitting(base: Path, precision: str, placement: Placement, device: str, *, longest: int, kept: int) -> Estimate:
    """The estimate with as few layers computed again as memory allows, with all where that is not enough either.

    Where the placement says a share, and on a CPU, where that is none, with this share.
    """
    config, parameters = shape_of(base), parameters_of(base)
    memory = None if device == "cpu" else _memory(placement, device)[1]
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


def check(
    cost_of: Callable[[Placement], Estimate], placement: Placement, device: str, home: Path, what: str
) -> Estimate:
    """Refuse what cannot fit, with what would help; else say the numbers."""
    cost = cost_of(placement)
    card, free = _memory(placement, device)
    memory = f"memory on each {card}" if card else "this machine's free memory"
    processes = placement.processes if device == "cpu" else 1
    needed = _needed(cost, placement, device)
    if needed > free:
        raise StepError(
            f"{what} needs about {needed / GIB:.1f} GiB of {memory}, which has "
            f"{free / GIB:.1f} GiB: {cost.states * processes / GIB:.1f} for weights, gradients and optimizer, "
            f"{cost.activations * processes / GIB:.1f} for activations of {cost.tokens} tokens. "
            f"{advice(cost_of, placement, device)}"
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
    note = f"{what}: about {needed / GIB:.2f} GiB of {memory}, {cost.disk / GIB:.2f} GiB of disk"
    if device != "cpu":
        note += f"; while a state is saved, up to {cost.resume / GIB:.1f} GiB of this machine's memory"
    say_note(note)
    return cost


def _needed(cost: Estimate, placement: Placement, device: str) -> int:
    """Bytes of one GPU; or of a machine, which all processes share, and in which a checkpoint is gathered."""
    return cost.memory * placement.processes + cost.checkpoint if device == "cpu" else cost.memory


def _memory(placement: Placement, device: str) -> tuple[str, int]:
    """(name of the card, empty for a CPU; bytes that can be had)."""
    return memory_of(device, placement) if device != "cpu" else ("", free_memory())


def advice(cost_of: Callable[[Placement], Estimate], placement: Placement, device: str) -> str:
    """Of each kind of change, the smallest that makes it fit."""
    ways, cost = [], cost_of(placement)
    _, free = _memory(placement, device)
    again = [[{"recompute_share": 1.0}]] if device != "cpu" and cost.recompute < 1 else []
    for kind in again + _changes(placement, device):
        for fields in kind:
            changed = replace(placement, **fields)
            if _needed(cost_of(changed), changed, device) <= free:
                ways.append(" and ".join(f"{name} = {value}" for name, value in fields.items()))
                break
    text = f"In the placement, set {', or '.join(ways)}" if ways else "Use a larger machine, or a lower max_length"
    if cost.tokens > placement.micro_batch_tokens:
        text += f"; its longest row has {cost.tokens} tokens"
    smaller = (free / _ROOM - cost.buffers - cost.activations) / cost.states * cost.parameters
    if device != "cpu" and smaller > 0:
        text += f". As it is placed, a model of up to about {smaller / 1e9:.1f} billion weights fits"
    return text


def _changes(placement: Placement, device: str) -> list[list[dict[str, Any]]]:
    """Fields that need less memory, by kind, the smallest change first."""
    stages = [{"zero_stage": stage} for stage in range(placement.zero_stage + 1, 4) if placement.processes > 1]
    tokens = [
        {"micro_batch_tokens": placement.micro_batch_tokens >> half}
        for half in range(1, 5)
        if placement.micro_batch_tokens >> half
    ]
    if device == "cpu":
        return [stages, tokens]
    more = [placement.processes << double for double in range(1, 7)]
    processes = [{"processes": n, "zero_stage": 3} for n in more if n <= _MOST_PROCESSES]
    return [stages, processes, tokens]


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)
