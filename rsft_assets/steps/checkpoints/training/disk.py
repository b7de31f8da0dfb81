"""Bytes that a training writes, from its size and precision alone: no torch, so that plans can ask, too."""


def checkpoint_bytes(parameters: int, precision: str) -> int:
    """One kept step."""
    return parameters * (4 if precision == "fp32" else 2)


def resume_bytes(parameters: int, precision: str) -> int:
    """The state to resume from: master weights and two moments."""
    return parameters * {"fp32": 12, "bf16-pure": 6, "bf16": 12}[precision]


def disk_bytes(parameters: int, precision: str, kept: int) -> int:
    """At its fullest; for a moment the new state stands beside the old one."""
    return kept * checkpoint_bytes(parameters, precision) + 2 * resume_bytes(parameters, precision)
