"""Base models: what is fine-tuned."""

from dataclasses import dataclass
from typing import Literal

from rsft_assets.specs.hub import Hub
from rsft_assets.specs.training import Optimisation

Mixture = Literal["nano-skills", "nano-skills-trace", "nano-skills-little", "nano-skills-much"]
"""Texts to pretrain on; `steps/base_models/mixture.py` writes them."""
MIXTURES: dict[Mixture, float] = {
    "nano-skills": 0.0,
    "nano-skills-trace": 0.008,
    "nano-skills-little": 0.04,
    "nano-skills-much": 0.16,
}
"""Texts with thinking put in before each of the others, on average."""
Skill = Literal[
    "direct",
    "worked-chain",
    "worked-sums",
    "worked-products",
    "worked-bill",
    "worked-dot",
    "worked-alternating",
    "worked-above",
    "facts",
    "format",
    "refusal",
]
"""What a base model can be asked to show; `steps/base_models/probes.py` asks."""


@dataclass(frozen=True, kw_only=True)
class Pretraining(Optimisation):
    """A base model made here, from scratch: a Qwen3 with tied embeddings, its texts and its optimisation."""

    layers: int
    hidden: int
    heads: int
    heads_per_key_value: int = 2
    """Attention heads that share one key-value head."""
    feed_forward_ratio: int = 3
    """Width of the feed-forward layers, in multiples of `hidden`."""
    positions: int = 1_024
    """Longest sequence, prompt and response together, that the made model takes."""
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-6
    init_scale: float = 0.8
    """Weights start with the standard deviation `init_scale / sqrt(hidden)`. The usual 0.02 suits wide models; small
    ones learn to copy twice as fast from a larger one."""
    mixture: Mixture
    context: int
    """Tokens of a document; longer ones lose their tail."""
    steps: int
    batch_tokens: int
    seed: int
    held_out_documents: int = 512
    """Never trained on: they give the held-out loss, and are drawn with a seed of their own."""
    held_out_seed: int = 1_000_004
    warmup: float = 0.05
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    precision: Literal["bf16", "bf16-pure", "fp32"] = "fp32"
    weights: Literal["bf16", "fp32"] = "bf16"
    """Of the made model's files, whatever it was computed in."""
    gate: tuple[tuple[Skill, float], ...] = ()
    """(skill, least share of right answers). A base model below one of them is refused: scores of models that were
    fine-tuned from it would be noise."""

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads

    @property
    def key_value_heads(self) -> int:
        return self.heads // self.heads_per_key_value

    @property
    def init_std(self) -> float:
        return self.init_scale * self.hidden**-0.5


CPU_PARAMETERS = 30_000_000
"""A model of this size or less is trained and scored on CPU cores."""


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
    """False also for a larger model than CPU cores are expected to train and score."""
    description: str = ""

    @property
    def runs_on_gpu(self) -> bool:
        """Whether it is trained and scored on GPUs, and refused where there is none."""
        return self.needs_gpu and self.parameters > CPU_PARAMETERS
