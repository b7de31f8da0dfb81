"""Base models: what is fine-tuned."""

from dataclasses import dataclass
from typing import Literal

from rsft_assets.specs.hub import Hub

Mixture = Literal["nano-skills", "nano-skills-little"]
"""Texts to pretrain on; `steps/base_models/mixture.py` writes them."""
Skill = Literal[
    "direct-running",
    "direct-products",
    "direct-dot",
    "worked-running",
    "worked-products",
    "worked-dot",
    "facts",
    "format",
    "refusal",
]
"""What a base model can be asked to show; `steps/base_models/probes.py` asks."""


@dataclass(frozen=True, kw_only=True)
class Pretraining:
    """A base model made here, from scratch, by the trainer: architecture, mixture and optimisation."""

    layers: int
    hidden: int
    heads: int
    mixture: Mixture
    steps: int
    batch_tokens: int
    lr: float
    context: int
    seed: int
    gate: tuple[tuple[Skill, float], ...] = ()
    """(skill, least share of right answers): a base that fell short of one is refused, and the study stops there
    instead of reporting noise."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """One base model."""

    name: str
    family: Literal["qwen3", "qwen2.5", "internlm2.5", "other"]
    parameters: int
    """Total, embeddings included; memory and cost estimates start here."""
    origin: Hub | Pretraining
    drop_default_system_prompt: bool = False
    """The chat template inserts a system message of its own, which the study leaves out."""
    remote_code: bool = False
    """Loading runs code from the repository; needs RSFT_ALLOW_REMOTE_CODE=1 besides."""
    needs_gpu: bool = True
    """False only where training and scoring on CPU cores finish in minutes."""
    description: str = ""
