"""The rolling resume state: master weights and moments by name, so it fits any number of processes and any stage.

`<folder>/state-<step>/` holds `part-*.safetensors` and, written last, `state.json` with a checksum of each
part and what the state belongs to. `saving.py` writes it aside and renames it; the one before is deleted after.
"""

import json
import logging
import shutil
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from rsft_assets.specs.errors import StepError
from rsft_assets.steps.checkpoints.training.engine import MOMENTS, Session
from rsft_assets.steps.records.checked import signs

log = logging.getLogger(__name__)
MASTER = "master"
_SOUND: set[tuple[Any, ...]] = set()
"""Parts that this process found right: path, checksum, and what the file system says of them."""


@dataclass(frozen=True)
class State:
    """One saved state, its checksums not yet compared."""

    folder: Path
    step: int
    belongs_to: dict[str, Any]
    curves: list[dict[str, Any]]
    files: dict[str, int]

    def check(self) -> str | None:
        """What is damaged, in words; a part that this process found right is not read again unless it changed."""
        for name, expected in self.files.items():
            path = self.folder / name
            sound = (path, expected, *signs(path)) if path.is_file() else None
            if sound is None or (sound not in _SOUND and _checksum(path) != expected):
                return f"{path} has changed since it was written (checksum differs)"
            _SOUND.add(sound)
        return None

    def require_sound(self) -> None:
        """A `StepError` where it is damaged."""
        if problem := self.check():
            raise StepError(
                f"{problem}; delete {self.folder} and materialize again: training starts over from the base"
            )

    def tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        """(kind/name, tensor) of everything, one at a time."""
        for name in sorted(self.files):
            with safe_open(self.folder / name, framework="pt") as part:
                for key in part.keys():  # noqa: SIM118 - not a mapping
                    yield key, part.get_tensor(key)


def _checksum(path: Path) -> int:
    seen = 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 22):
            seen = zlib.crc32(chunk, seen)
    return seen


def saved_states(folder: Path) -> list[State]:
    """Complete states, latest first."""
    states = []
    for path in folder.glob("state-*/state.json"):
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            states.append(State(path.parent, facts["step"], facts["belongs_to"], facts["curves"], facts["files"]))
        except (OSError, ValueError, KeyError) as error:
            log.warning("%s cannot be read (%s); it is not used", path, error)
    return sorted(states, key=lambda state: -state.step)


def remove_unfinished(folder: Path) -> None:
    """What a killed save left: it is no state, and as large as one."""
    for left in folder.glob(".writing-*"):
        shutil.rmtree(left, ignore_errors=True)


def whole_tensor(session: Session, parameter: torch.nn.Parameter, kind: str) -> torch.Tensor:
    """The whole of one parameter's master weight or moment; every process must ask."""
    from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

    if session.stage == 0:
        return parameter if kind == MASTER else session.adam.state[parameter][kind]
    whole: torch.Tensor = (
        safe_get_full_fp32_param(parameter) if kind == MASTER else safe_get_full_optimizer_state(parameter, kind)
    )
    return whole


def load_weights(model: Any, state: State) -> None:
    """Put a state's weights into a model that DeepSpeed has not wrapped yet."""
    state.require_sound()
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for key, tensor in state.tensors():
            kind, _, name = key.partition("/")
            if kind == MASTER:
                parameters[name].copy_(tensor)


@torch.no_grad()
def load_optimiser(session: Session, state: State) -> None:
    """Put a state's master weights and moments into the wrapped model; at stage 3 its weights, too."""
    state.require_sound()
    for flat in _flat_parameters(session):
        session.adam.state[flat] = {
            "step": torch.tensor(float(state.step), device=flat.device),
            **{kind: torch.zeros_like(flat) for kind in MOMENTS},
        }
    link = getattr(session.engine.optimizer, "_lazy_init_hp_params_optimizer_state", None)
    if link is not None:
        link()
    parameters = dict(session.named_parameters())
    for key, tensor in state.tensors():
        kind, _, name = key.partition("/")
        _set_full(session, parameters[name], kind, tensor.to(session.device))


def _flat_parameters(session: Session) -> list[torch.Tensor]:
    """The tensors that the optimizer steps on: the model's own, or this process's partitions."""
    wrapped = session.engine.optimizer
    names = ("fp32_groups_flat_partition", "single_partition_of_fp32_groups", "fp32_partitioned_groups_flat")
    for name in names:
        if hasattr(wrapped, name):
            return list(getattr(wrapped, name))
    return [parameter for _, parameter in session.named_parameters()]


def _set_full(session: Session, parameter: torch.nn.Parameter, kind: str, value: torch.Tensor) -> None:
    from deepspeed.runtime.zero.partition_parameters import ZeroParamStatus
    from deepspeed.utils import (
        safe_get_local_fp32_param,
        safe_set_full_fp32_param,
        safe_set_full_optimizer_state,
        safe_set_local_fp32_param,
        safe_set_local_optimizer_state,
    )

    if session.stage == 0:
        (parameter if kind == MASTER else session.adam.state[parameter][kind]).copy_(value)
    elif session.stage < 3:
        if kind == MASTER:
            safe_set_full_fp32_param(parameter, value)
        else:
            safe_set_full_optimizer_state(parameter, value, kind)
    else:
        # DeepSpeed's own whole-tensor setter fails where the last partition is padded.
        size = safe_get_local_fp32_param(parameter).numel()
        padded = torch.nn.functional.pad(value.flatten(), (0, size * session.world - value.numel()))
        mine = padded.narrow(0, size * session.rank, size)
        if kind == MASTER:
            safe_set_local_fp32_param(parameter, mine)
            shared: Any = parameter
            shared.ds_tensor.data.copy_(mine)
            if shared.ds_status == ZeroParamStatus.AVAILABLE:
                # Small ones stay whole on every process.
                parameter.data.copy_(value)
        else:
            safe_set_local_optimizer_state(parameter, mine, kind)


def full_weights(session: Session, dtype: torch.dtype, *, masters: bool = False) -> dict[str, torch.Tensor]:
    """All weights by name on the first process, in the dtype given; every process must ask."""
    import deepspeed

    weights: dict[str, torch.Tensor] = {}
    for name, parameter in session.named_parameters():
        if masters and session.stage:
            value = whole_tensor(session, parameter, MASTER)
            if session.rank == 0:
                weights[name] = value.detach().to("cpu", dtype, copy=True)
            continue
        gather = session.stage == 3
        with deepspeed.zero.GatheredParameters([parameter]) if gather else torch.no_grad():
            if session.rank == 0:
                weights[name] = parameter.detach().to("cpu", dtype, copy=True)
    return weights
