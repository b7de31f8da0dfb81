"""The rows that are being decoded at one time: a key-value cache that grows, shrinks and merges.

Rows are padded on the left, so every row's newest token stands in the last column. A finished row is taken
out and new ones are put in while the others go on.
"""

import random
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from rsft_assets.steps.engines.protocol import Request
from rsft_assets.steps.engines.sampling import Rows, draw

_SPARE_COLUMNS = 64


class GrowingLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """One layer's keys and values in buffers with room to spare: a step writes a column, it copies nothing."""

    keys: Any
    values: Any
    length = 0

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.dtype, self.device = key_states.dtype, key_states.device
            self.is_initialized = True
            self.keys, self.values = key_states, value_states
            self.length = key_states.shape[2]
            return key_states, value_states
        end = self.length + key_states.shape[2]
        if end > self.keys.shape[2]:
            self.resize(0, end + _SPARE_COLUMNS + end // 4)
        self.keys[:, :, self.length : end] = key_states
        self.values[:, :, self.length : end] = value_states
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def resize(self, shift: int, columns: int) -> None:
        """Move to buffers of another width; `shift` columns are added on the left, or cut where negative."""
        self.keys = _moved(self.keys, self.length, shift, columns)
        self.values = _moved(self.values, self.length, shift, columns)
        self.length += shift

    def get_seq_length(self) -> int:
        return self.length


def _moved(old: Tensor, length: int, shift: int, columns: int) -> Tensor:
    new = old.new_zeros(old.shape[0], old.shape[1], columns, old.shape[3])
    new[:, :, max(shift, 0) : length + shift] = old[:, :, max(-shift, 0) : length]
    return new


@dataclass
class Row:
    """One request being answered."""

    request: Request
    prompt_tokens: int
    limit: int
    tokens: list[int] = field(default_factory=list)
    logprob: float = 0.0
    ended: bool = False

    def __post_init__(self) -> None:
        self.chance = random.Random(self.request.seed)

    @property
    def done(self) -> bool:
        return self.ended or len(self.tokens) >= self.limit


class Slots:
    """Rows with their cache, mask and sampling, kept in step with each other."""

    def __init__(self, rows: list[Row], prompts: list[list[int]], model: Any, eos: int, device: str) -> None:
        self.rows, self.model, self.eos, self.device = rows, model, eos, device
        self.sampling = Rows.of([row.request.sampling for row in rows], device)
        depth = model.config.get_text_config().num_hidden_layers
        self.layers: list[Any] = [GrowingLayer() for _ in range(depth)]  # type: ignore[no-untyped-call]
        self.cache = Cache(layers=self.layers)
        width = max(map(len, prompts))
        tokens = torch.full((len(rows), width), eos, dtype=torch.long)
        self.mask = torch.zeros(len(rows), width, dtype=torch.bool)
        for i, prompt in enumerate(prompts):
            tokens[i, width - len(prompt) :] = torch.tensor(prompt)
            self.mask[i, width - len(prompt) :] = True
        self.mask = self.mask.to(device)
        self.counts: Tensor | None = None
        self._advance(tokens.to(device), _causal(self.mask), (self.mask.cumsum(dim=1) - 1).clamp_min(0))

    def step(self) -> None:
        """One more token for every row; those that are done get one that is thrown away."""
        last = torch.tensor([[row.tokens[-1]] for row in self.rows], device=self.device)
        position = self.mask.sum(dim=1, keepdim=True)
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.rows), 1)], dim=1)
        self._advance(last, self.mask[:, None, None, :], position)

    def _advance(self, tokens: Tensor, mask: Tensor, position: Tensor) -> None:
        logits = self.model(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=position,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        if self.counts is None and self.sampling.penalised:
            self.counts = torch.zeros_like(logits)
        uniform = torch.tensor([row.chance.random() for row in self.rows], device=self.device)
        drawn, logprob = draw(logits, self.sampling, uniform, self.counts)
        if self.counts is not None:
            self.counts.scatter_add_(1, drawn.unsqueeze(1), torch.ones_like(logprob).unsqueeze(1))
        for row, token, value in zip(self.rows, drawn.tolist(), logprob.tolist(), strict=True):
            if not row.done:
                row.tokens.append(token)
                row.logprob += value
                row.ended = token == self.eos or token in row.request.stops

    def drop_done(self) -> list[Row]:
        """Take finished rows out, and the columns that no row needs any more."""
        done = [row for row in self.rows if row.done]
        keep = torch.tensor([i for i, row in enumerate(self.rows) if not row.done], dtype=torch.long)
        if not done:
            return []
        self.rows = [row for row in self.rows if not row.done]
        keep = keep.to(self.device)
        self.sampling, self.mask = self.sampling.select(keep), self.mask[keep]
        self.counts = None if self.counts is None else self.counts[keep]
        unused = int(self.mask.any(dim=0).int().argmax()) if self.rows else 0
        self.mask = self.mask[:, unused:]
        for layer in self.layers:
            layer.keys, layer.values = layer.keys[keep], layer.values[keep]
            if unused:
                layer.resize(-unused, layer.keys.shape[2])
        return done

    def merge(self, other: "Slots") -> None:
        """Put another set of rows beside these."""
        width = max(self.mask.shape[1], other.mask.shape[1])
        if self.counts is not None or other.counts is not None:
            mine, theirs = self._counts_like(other), other._counts_like(self)
            self.counts = torch.cat([mine, theirs])
        for layer, incoming in zip(self.layers, other.layers, strict=True):
            columns = max(layer.length, incoming.length)
            for part in (layer, incoming):
                part.resize(columns - part.length, columns + _SPARE_COLUMNS)
            layer.keys = torch.cat([layer.keys, incoming.keys])
            layer.values = torch.cat([layer.values, incoming.values])
        pad = torch.nn.functional.pad
        self.mask = torch.cat([pad(part.mask, (width - part.mask.shape[1], 0)) for part in (self, other)])
        self.sampling = self.sampling.extend(other.sampling)
        self.rows += other.rows

    def _counts_like(self, other: "Slots") -> Tensor:
        if self.counts is not None:
            return self.counts
        assert other.counts is not None
        return other.counts.new_zeros(len(self.rows), other.counts.shape[1])


def _causal(mask: Tensor) -> Tensor:
    """Attention of a prefill: earlier tokens of the own row. A padding column sees itself, since nothing makes NaN."""
    width = mask.shape[1]
    triangle = torch.ones(width, width, dtype=torch.bool, device=mask.device).tril()
    return (mask[:, None, None, :] & triangle) | torch.eye(width, dtype=torch.bool, device=mask.device)
