"""How fast a training is: operations, share of a GPU's peak, peak memory. For the progress line and the manifest.

In: a model, the tokens and row lengths of each step, their seconds. Out: words and numbers.
"""

import logging
import os
from collections.abc import Sequence
from typing import Any

import torch

from rsft_assets.specs.cards import peak_of
from rsft_assets.specs.placement import Placement

log = logging.getLogger(__name__)
_CONTEXT_BYTES = 2**29
"""Of CUDA itself, for each process on a card."""


def memory_of(device: str, placement: Placement) -> tuple[str, int]:
    """(name, bytes) of the smallest card of a training, as torch can have them before anything is loaded."""
    if placement.processes == 1 and placement.runs <= 1:
        free, _ = torch.cuda.mem_get_info(device)
        return torch.cuda.get_device_name(device), free + torch.cuda.memory_reserved(device)
    # Other processes train. What is free is not asked for: it would open a context here, which takes memory, and
    # where a card is for one process only, keeps them out.
    cards = [torch.cuda.get_device_properties(n) for n in range(min(torch.cuda.device_count(), placement.processes))]
    smallest = min(cards, key=lambda card: card.total_memory)
    return smallest.name, smallest.total_memory - _CONTEXT_BYTES


def allow_expandable_segments() -> None:
    """Less memory that is reserved and cannot be used, as row lengths change from step to step.

    A user's own settings of torch's allocator are left alone.
    """
    if not {"PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"} & os.environ.keys():
        torch._C._accelerator_setAllocatorSettings("expandable_segments:True")


class Meter:
    """Of one process of a training."""

    def __init__(self, model: Any, device: str, processes: int) -> None:
        self.device, self.processes = device, processes
        self.on_gpu = device.startswith("cuda")
        self.card = torch.cuda.get_device_name(device) if self.on_gpu else "cpu"
        self.peak = peak_of(self.card)
        if self.on_gpu and self.peak is None:
            log.warning("%s: its peak is not known (specs/cards.py), so no MFU is shown", self.card)
        numbers = {p: getattr(p, "ds_numel", p.numel()) for p in model.parameters()}
        table, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
        # Rows of a table are looked up, not multiplied, unless it is the output matrix, too.
        self._weights = sum(numbers.values()) - (0 if table is head else numbers[table])
        config = model.config
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self._attention = config.num_hidden_layers * config.num_attention_heads * width

    def flops(self, tokens: float, squares: float) -> float:
        """Operations of a step: six a token and weight, and those of causal attention, where `squares` is the sum of
        the rows' squared lengths. What is computed a second time to save memory is no work.
        """
        return 6 * (self._weights * tokens + self._attention * squares)

    def note(self, entry: dict[str, Any]) -> str:
        """Speed in one step, and the most memory so far."""
        seconds = max(entry["seconds"], 1e-9)
        text = f"{entry['seen'] / seconds:,.0f} tokens/s"
        if self.peak:
            text += f", MFU {100 * entry['flops'] / seconds / self.processes / self.peak:.0f} %"
        if self.on_gpu:
            allocated, reserved = (number / 2**30 for number in self._memory())
            text += f", {allocated:.1f} GiB ({reserved:.1f} reserved)"
        return text

    def stats(self, curves: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Means over these steps, for the manifest."""
        # A training resumed from a state of an earlier version has not counted its operations.
        counted = [entry for entry in curves if "flops" in entry]
        if not counted:
            return {"card": self.card}
        seconds = sum(entry["seconds"] for entry in counted)
        of_each = sum(entry["flops"] for entry in counted) / seconds / self.processes
        return {
            "card": self.card,
            "tokens_per_second": round(sum(entry["seen"] for entry in counted) / seconds, 1),
            "flops_per_second": float(f"{of_each:.4g}"),
            **({"mfu": round(of_each / self.peak, 4)} if self.peak else {}),
            **(dict(zip(("allocated_bytes", "reserved_bytes"), self._memory(), strict=True)) if self.on_gpu else {}),
        }

    def _memory(self) -> tuple[int, int]:
        return torch.cuda.max_memory_allocated(self.device), torch.cuda.max_memory_reserved(self.device)
