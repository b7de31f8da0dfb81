"""Loading a base model for training, and writing one in Hugging Face's format.

Tokenizer, config and generation config are written with the same end token.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from rsft_assets.specs.errors import StepError
from rsft_assets.steps.processes.hardware import free_memory

_LOGITS_BYTES = 2**31


def load_model(folder: Path, dtype: torch.dtype, *, remote_code: bool = False) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, trust_remote_code=remote_code)


def fits_beside(folder: Path, dtype: torch.dtype, device: str) -> bool:
    """Whether a second model has room on a device under training, with half as much again for what it computes."""
    needed = 1.5 * parameters_of(folder) * dtype.itemsize
    if device == "cpu":
        return needed < free_memory()
    torch.cuda.empty_cache()
    return needed + _LOGITS_BYTES < torch.cuda.mem_get_info(device)[0]


def write_model(folder: Path, model: Any, weights: dict[str, torch.Tensor], tokenizer: Any) -> None:
    """Weights, configs and tokenizer, complete by themselves."""
    model.config.eos_token_id = tokenizer.eos_token_id
    model.config.dtype = next(iter(weights.values())).dtype
    model.config.use_cache = True
    if model.generation_config is not None:
        model.generation_config.eos_token_id = tokenizer.eos_token_id
        if model.generation_config.pad_token_id is None:
            model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder, state_dict=weights)
    tokenizer.save_pretrained(folder)
    for path in folder.glob("*.safetensors"):
        # Transformers writes them through private temporary files; a home is often shared.
        path.chmod(0o644)


def parameters_of(folder: Path) -> int:
    """Number of weights in a folder's safetensors files, from their headers."""
    total = 0
    for path in folder.glob("*.safetensors"):
        try:
            with safe_open(path, framework="pt") as part:
                for key in part.keys():  # noqa: SIM118 - not a mapping
                    total += math.prod(part.get_slice(key).get_shape())
        except SafetensorError as error:
            raise StepError(f"{path} is not a complete safetensors file ({error}); fetch it again") from error
    return total


@dataclass(frozen=True)
class Shape:
    """The numbers of a config that memory depends on."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    vocab_size: int


def shape_of(folder: Path) -> Shape:
    """Read from config.json, so that no code of the repository runs for an estimate."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    hidden = config["hidden_size"]
    return Shape(hidden, config.get("intermediate_size", 4 * hidden), config["num_hidden_layers"], config["vocab_size"])
