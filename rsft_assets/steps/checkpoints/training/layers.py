"""How a model's layers compute: by compiled code, and some of them again in the backward pass to save memory.

In: a model under training, what the placement says. Out: the same modules under the same names of weights. Attention
to packed rows stays outside of compiled code, and lines of every length share it.
"""

import functools
import time
from typing import Any

import numpy as np
import torch

from rsft_assets.specs.placement import Placement
from rsft_assets.steps.checkpoints.training.engine import SHARED_WEIGHTS, Session
from rsft_assets.steps.checkpoints.training.loss import Trainee, compiled_elements, plain_elements
from rsft_assets.steps.checkpoints.training.packing import micro_batch
from rsft_assets.steps.processes.events import say_note

_TRIED = (18, 19)
"""Tokens of the rows of a first line. Their sum is no other size of a model, which the compiler would take for it."""
_CAUSE_LENGTH = 300


def decoder_layers(model: Any) -> list[Any]:
    """Those that Transformers can compute again one by one; none in a model with code of its own."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    return [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]


def recompute(trainee: Trainee, share: float) -> str:
    """Have this share of the layers computed again in the backward pass; which, in words."""
    trainee.head.recompute = share
    model, layers = trainee.model, decoder_layers(trainee.model)
    count = round(share * len(layers))
    if count or (share and not layers):
        model.gradient_checkpointing_enable({"use_reentrant": False})
        # For frozen embeddings. Here it would only make held-out rows ask for gradients, and be compiled once more.
        model.disable_input_require_grads()
    # The backward pass reaches the first layers last, when the others have let go of what they kept.
    for number, layer in enumerate(layers):
        layer.gradient_checkpointing = number < count
    counted = f"{count} of {len(layers)}" if layers else "all" if share else "no"
    return f"{counted} layers are computed again in the backward pass"


def compiles(placement: Placement, device: str, stage: int) -> bool:
    """Whether layers are to be compiled; not at ZeRO stage 3, where weights come and go inside of each."""
    wanted = placement.compile == "on" or (placement.compile == "auto" and device != "cpu")
    return wanted and stage != SHARED_WEIGHTS


def compile_for(session: Session, placement: Placement, *, packed: bool) -> bool:
    """Compile a training's layers and loss where the placement wants it; False, with a note of the cause, where not."""
    if not compiles(placement, session.device, session.stage):
        if compiles(placement, session.device, 0):
            tell(session, "layers are not compiled at zero_stage 3; stage 2 is faster where memory allows")
        return False
    trainee = session.engine.module
    cause = None
    if not packed or not decoder_layers(session.model):
        cause = f"{type(session.model).__name__} has attention or layers of its own"
    else:
        started, before = time.monotonic(), _graphs()
        compile_layers(trainee)
        _go_on_where_compiling_fails(False)
        cause = _failure(trainee, session.device)
        if cause is None:
            # A line of a new kind may still be compiled, after hours.
            _go_on_where_compiling_fails(True)
            taken = time.monotonic() - started
            tell(session, f"layers and loss are compiled: {_graphs() - before} graphs in {taken:.0f} s")
            return True
        for layer in decoder_layers(session.model):
            layer.__class__ = type(layer).__base__
        trainee.head.elements = plain_elements
    tell(session, f"layers are not compiled, so training is slower: {cause}")
    return False


def tell(session: Session, message: str) -> None:
    """Once for all processes of a training."""
    if session.rank == 0:
        say_note(message)


def compile_layers(trainee: Trainee) -> None:
    """By their class: a module around each layer would change names of weights, and a method that a layer holds would
    keep the layer in memory.
    """
    for layer in decoder_layers(trainee.model):
        kind: Any = type(layer)
        layer.__class__ = _compiled(kind)
    trainee.head.elements = compiled_elements()


@functools.cache
def _compiled(kind: Any) -> type:
    return type(kind.__name__, (kind,), {"forward": torch.compile(kind.forward, dynamic=True)})


def _failure(trainee: Trainee, device: str) -> str | None:
    """One small line forward and backward, and forward as held-out rows go; no gradient is kept."""
    line = micro_batch([np.arange(tokens + 1) for tokens in _TRIED], (1, 1), (1.0, 1.0), device=device)
    try:
        weighted, _ = trainee.train()(line)
        first = next(decoder_layers(trainee.model)[0].parameters())
        torch.autograd.grad(weighted, first)
        with torch.no_grad():
            trainee.eval()(line)
    except RuntimeError as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:_CAUSE_LENGTH]}"
    return None


def _go_on_where_compiling_fails(wanted: bool) -> None:
    """Whether torch then runs a layer uncompiled, with a warning, or raises."""
    import torch._dynamo.config as dynamo

    dynamo.suppress_errors = wanted


def _graphs() -> int:
    from torch._dynamo.utils import counters

    return int(counters["stats"]["unique_graphs"])
