"""What GPUs can do: dense bf16 operations a second with fp32 accumulation, by the name that the driver gives.

From the makers' data sheets; figures that are given with sparsity are halved.
"""

import re

PEAK_BF16: dict[str, float] = {
    "GB[23]00": 2500e12,
    "B300( SXM6 AC)?": 2250e12,
    "B200": 2250e12,
    "H100 80GB HBM3|H200|H800|GH200 \\d+GB": 989e12,
    "H[12]00 NVL": 835e12,
    "H[18]00 PCIe": 756e12,
    "H20(-3e)?": 148e12,
    "A[18]00(-SXM4-\\d+GB|-PCIE-\\d+GB| 80GB PCIe)": 312e12,
    "A40": 149.7e12,
    "A10": 125e12,
    "L40S": 362e12,
    "L40": 181e12,
    "L4": 121e12,
    "RTX 6000 Ada Generation": 364e12,
    "RTX A6000": 154.8e12,
    "RTX 5090": 209.5e12,
    "RTX 5080": 112.6e12,
    "RTX 4090": 165.2e12,
    "RTX 4080": 97.5e12,
    "RTX 3090 Ti": 80e12,
    "RTX 3090": 71e12,
}
"""By a pattern of the whole name, "NVIDIA" and "GeForce" left out: a laptop's card, or a slice of a card (MIG), has a
name of its own, and is not known."""


def peak_of(name: str) -> float | None:
    """The peak of a card; None where it is not known."""
    model = name.removeprefix("NVIDIA ").removeprefix("GeForce ")
    return next((peak for pattern, peak in PEAK_BF16.items() if re.fullmatch(pattern, model)), None)
