"""How well a GPU is used: share of its peak, and peak memory, for the progress line.

In: model, tokens a second on one GPU. Out: words; nothing on a CPU.
"""

from typing import Any

import torch

PEAK_BF16 = {"H200": 990e12, "H100": 990e12, "H20": 148e12, "A100": 312e12, "B200": 2250e12, "L40S": 362e12}
"""Dense bf16 operations a second, by a part of the device's name."""


def peak_of(name: str) -> float | None:
    """The peak of a device; None where it is not known."""
    names = sorted((part for part in PEAK_BF16 if part in name), key=len)
    return PEAK_BF16[names[-1]] if names else None


def _weights(model: Any) -> int:
    return sum(getattr(p, "ds_numel", p.numel()) for p in model.parameters())


def on_gpu(model: Any, tokens_a_second: float, device: str) -> str:
    """MFU (six operations a weight and token, attention not counted) and memory."""
    if not device.startswith("cuda"):
        return ""
    peak = peak_of(torch.cuda.get_device_name(device))
    share = f", MFU {100 * 6 * _weights(model) * tokens_a_second / peak:.0f} %" if peak else ""
    return f"{share}, {torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB"
