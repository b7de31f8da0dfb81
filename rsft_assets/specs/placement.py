"""Placement: where and how wide a step runs. Never part of identity.

`RSFT_PLACEMENT` names a TOML file: `[default]` for all, `[models.<name>]` over it. Without one, a step
uses what the machine has.
"""

import dataclasses
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rsft_assets.specs.errors import SpecError, nearest

PLACEMENT_SETTING = "RSFT_PLACEMENT"


@dataclass(frozen=True, kw_only=True)
class Placement:
    """How a step is spread over a machine."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    launcher: Literal["local"] = "local"
    engine: Literal["auto", "transformers", "vllm", "endpoint"] = "auto"
    endpoint: str = ""
    """Base URL of an OpenAI-compatible server; its key comes from RSFT_ENDPOINT_KEY."""
    tensor_parallel: int = 1
    engines: int = 1
    """Independent engine processes, each with `tensor_parallel` GPUs."""
    processes: int = 1
    """Training processes of one run on this machine, one per GPU."""
    runs: int = 0
    """Runs trained side by side on this machine, each with GPUs of its own; without GPUs checkpoints scored too.
    0: one, but of a model made for CPUs as many as there are cores and memory for."""
    zero_stage: Literal[0, 1, 2, 3] = 0
    micro_batch_tokens: int = 16_384
    """Tokens of one packed micro-batch."""
    threads: int = 1
    """CPU threads of each process."""
    workers: int = 2
    """Processes that verify answers or run code."""


def load_placement(model: str = "") -> Placement:
    """The placement for one model, from the file that RSFT_PLACEMENT names."""
    path = os.environ.get(PLACEMENT_SETTING)
    if not path:
        return Placement()
    try:
        data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise SpecError(f"{PLACEMENT_SETTING}={path}: {error}; name a readable TOML file or unset it") from error
    fields = {**data.get("default", {}), **data.get("models", {}).get(model, {})}
    valid = [field.name for field in dataclasses.fields(Placement)]
    for name in fields:
        if name not in valid:
            raise SpecError(f"{path}: unknown field {name!r}: {nearest(name, valid)}")
    from rsft_assets.specs.validation import check_values

    _check_kinds(path, fields)
    if fields.get("launcher") == "ray":
        raise SpecError(f"{path}: field launcher: 'ray' is not available yet; use 'local'")
    placement = Placement(**fields)
    check_values(placement, f"{path}: placement")
    return placement


def _check_kinds(path: str, fields: dict[str, Any]) -> None:
    """Text where text belongs, and whole numbers from 1; only a ZeRO stage may be 0."""
    for name, value in fields.items():
        kind = type(getattr(Placement, name))
        if type(value) is not kind:
            raise SpecError(f"{path}: field {name}: {value!r} must be of type {kind.__name__}")
        if kind is int and value < 1 and name != "zero_stage":
            raise SpecError(f"{path}: field {name}: {value!r} must be above 0")
