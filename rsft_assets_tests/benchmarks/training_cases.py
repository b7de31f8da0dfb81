"""Models and rows for measurements of training, by size.

A GPU's sizes have random weights and synthetic rows, made on the spot from a seed, so that nothing is downloaded.
"""

import itertools
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rsft_assets.specs import nano
from rsft_assets.specs.placement import Placement

DATA = Path(os.environ.get("RSFT_TEST_DATA", Path(__file__).parents[2].parent / "shared" / "data"))


@dataclass(frozen=True)
class Qwen3Shape:
    """What a Qwen3 of random weights is made from."""

    hidden: int
    inner: int
    layers: int
    heads: int
    key_value_heads: int
    tied: bool
    head_size: int = 128


@dataclass(frozen=True)
class Size:
    """A model with rows for it."""

    vocabulary: int
    line: int
    """Tokens of a packed micro-batch."""
    warm: int
    timed: int
    """Optimizer steps: left out at the start, and measured."""
    lines: int = 1
    """As many packed micro-batches hold the rows of one step."""
    shape: Qwen3Shape | None = None
    """With synthetic rows, the same in every step."""
    shrink: int = 1
    """Synthetic rows are as many times shorter than real ones."""


SIZES = {
    "1m": Size(600, 4_096, 2, 8),
    "135m": Size(49_152, 1_024, 1, 2),
    "small": Size(2_000, 512, 1, 1, lines=3, shape=Qwen3Shape(64, 192, 2, 4, 2, True, 16), shrink=32),
    "1.7b": Size(151_936, 16_384, 1, 1, lines=6, shape=Qwen3Shape(2_048, 6_144, 28, 16, 8, True)),
    "14b-4layers": Size(151_936, 16_384, 1, 1, lines=6, shape=Qwen3Shape(5_120, 17_408, 4, 40, 8, False)),
}
"""1m trains documents of the nano study; 135m has SmolLM2-135M's shape and trains MATH rows from RSFT_TEST_DATA."""


@dataclass(frozen=True)
class Case:
    """One measurement."""

    size: str
    precision: str
    placement: Placement

    @property
    def of(self) -> Size:
        return SIZES[self.size]

    @property
    def device(self) -> str:
        from rsft_assets.steps.checkpoints.training.engine import device_of

        return device_of(self.placement)


def rows_of(case: Case) -> list[list[int]]:
    """Tokenised rows with real lengths, more than a measurement takes."""
    if case.of.shape is not None:
        return synthetic_rows(case.of, 40)
    return documents_of(1_500) if case.size == "1m" else math_rows(1_500)


def synthetic_rows(size: Size, count: int) -> list[list[int]]:
    """Random tokens. Lengths as those of real responses with thinking: mean 6,000, half below 5,000, at most 18,500."""
    chance = np.random.default_rng(17)
    lengths = chance.lognormal(np.log(5_000), 0.62, count).clip(300, 18_500) // size.shrink
    return [chance.integers(1, size.vocabulary, int(length)).tolist() for length in lengths]


def math_rows(count: int) -> list[list[int]]:
    """Problems with their solutions; token ids brought into the model's vocabulary, which changes no cost."""
    from transformers import AutoTokenizer

    path = DATA / "sft_math" / "math_test_minus_math500_2500.jsonl"
    if not path.is_file():
        sys.exit(f"{path} is not there; set RSFT_TEST_DATA")
    tokenizer = AutoTokenizer.from_pretrained(DATA / "tokenizer_qwen3")
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[:count]]
    rows = tokenizer([f"{one['problem']}\n{one['solution']}" for one in lines])["input_ids"]
    return [[token % SIZES["135m"].vocabulary for token in row] for row in rows]


def documents_of(count: int) -> list[list[int]]:
    """Documents of the nano mixture."""
    from rsft_assets.steps.base_models.mixture import documents
    from rsft_assets.steps.base_models.tokenizer import build_tokenizer
    from rsft_assets.steps.checkpoints.training.text import document_rows

    with tempfile.TemporaryDirectory() as folder:
        tokenizer = build_tokenizer(Path(folder))
    return [ids for ids, _ in document_rows(itertools.islice(documents("nano-skills", 1), count), tokenizer)]


def batches(case: Case) -> Iterator[list[list[int]]]:
    """The rows of each step. With synthetic rows every step has the same, so that all shapes are seen before timing."""
    rows, start = rows_of(case), 0
    for _ in range(case.of.warm + case.of.timed):
        batch: list[list[int]] = []
        while sum(map(len, batch)) + len(rows[start]) <= case.of.line * case.of.lines:
            batch.append(rows[start])
            start += 1
        yield batch
        start = start if case.of.shape is None else 0


def model_of(case: Case, dtype, device=None):
    """On the case's device, or for a synthetic size on another."""
    import torch

    if case.of.shape is not None:
        return qwen3_of(case.of, dtype, device or case.device)
    if case.size == "1m":
        from rsft_assets.steps.base_models.new_model import new_qwen3

        [spec] = [model.origin for model in nano.MODELS if model.name == "nano-1m"]
        return new_qwen3(replace(spec, positions=8_192), vocabulary=case.of.vocabulary, end=0).to(dtype)
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=case.of.vocabulary,
        hidden_size=576,
        intermediate_size=1_536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=8_192,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config).to(dtype)


def qwen3_of(size: Size, dtype, device: str):
    """Random weights, drawn on the device: a CPU would take a minute."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(1)
    shape = size.shape
    config = Qwen3Config(
        vocab_size=size.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        head_dim=shape.head_size,
        max_position_embeddings=40_960,
        tie_word_embeddings=shape.tied,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        bos_token_id=None,
        eos_token_id=0,
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            return Qwen3ForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
