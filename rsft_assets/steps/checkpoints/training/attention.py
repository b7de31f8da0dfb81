"""Attention confined to each row of a packed line, for every model that uses Transformers' attention interface.

`install(model)` makes it the model's attention; a forward pass then takes `rows=Rows(lengths, device)`. On a
GPU in bf16 it is `torch.nn.attention.varlen`; elsewhere rows of like length are attended to together.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

NAME = "rsft_confined"


class Rows:
    """Where the rows of a packed line lie, worked out once for all layers."""

    def __init__(self, lengths: Sequence[int], device: str | torch.device) -> None:
        self.lengths = tuple(lengths)
        self.longest = max(self.lengths)
        starts = [0]
        for length in self.lengths:
            starts.append(starts[-1] + length)
        self.bounds = torch.tensor(starts, dtype=torch.int32, device=device)
        self.buckets = _buckets(self.lengths, starts, device)
        # Buckets reorder the tokens; `back` restores the order of the line.
        order = torch.cat([bucket.places for bucket in self.buckets])
        self.back = torch.empty_like(order)
        self.back[order] = torch.arange(len(order), device=device)


class _Bucket:
    """Rows of like length, padded on the right to the longest; causal attention never looks at the padding."""

    def __init__(self, members: list[tuple[int, int]], device: str | torch.device) -> None:
        self.rows, self.width = len(members), max(length for _, length in members)
        grid = torch.arange(self.width).expand(self.rows, -1)
        start = torch.tensor([start for start, _ in members]).unsqueeze(1)
        length = torch.tensor([length for _, length in members]).unsqueeze(1)
        inside = grid < length
        # Padding repeats the row's last token: its output is dropped, so any valid place will do.
        self.padded = (start + torch.minimum(grid, length - 1)).reshape(-1).to(device)
        self.inside = None if bool(inside.all()) else inside.reshape(-1).nonzero().squeeze(1).to(device)
        self.places = (start + grid)[inside].to(device)


_SHORTEST, _SHORT = 32, 128


def _buckets(lengths: Sequence[int], starts: Sequence[int], device: str | torch.device) -> list[_Bucket]:
    """Half-octave classes, so that at most a third of a bucket is padding; of short rows, where calls cost more than
    what they compute, octaves.
    """
    classes: dict[int, list[tuple[int, int]]] = {}
    for start, length in zip(starts, lengths, strict=False):
        top = max(_SHORTEST, 1 << (length - 1).bit_length())
        tight = top > _SHORT and length <= top * 3 // 4
        classes.setdefault(top * 3 // 4 if tight else top, []).append((start, length))
    return [_Bucket(members, device) for _, members in sorted(classes.items())]


def install(model: Any) -> bool:
    """Make it this model's attention; False where the model's code has attention of its own."""
    from transformers import AttentionInterface, AttentionMaskInterface

    # A sliding window comes as a mask, which packed rows cannot have.
    if not getattr(model, "_supports_attention_backend", False) or getattr(model.config, "sliding_window", None):
        return False
    AttentionInterface.register(NAME, confined_attention)
    AttentionMaskInterface.register(NAME, _no_mask)
    model.set_attn_implementation(NAME)
    return True


def _no_mask(*_: Any, **__: Any) -> None:
    # Transformers would otherwise build a causal mask over the whole line.
    return None


@torch.compiler.disable  # type: ignore[untyped-decorator]
def confined_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    rows: Rows | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """(1, heads, tokens, size) to (1, tokens, heads, size); without `rows`, plain causal attention."""
    if attention_mask is not None:
        raise ValueError("packed rows take no attention mask: it would let rows see each other")
    if rows is None:
        attended = _causal(query, key, value, scaling, dropout)
        return attended.transpose(1, 2).contiguous(), None
    if query.is_cuda and query.dtype in (torch.bfloat16, torch.float16) and not dropout:
        return _varlen(query, key, value, scaling, rows), None
    parts = [_attend_bucket(query, key, value, scaling, dropout, bucket) for bucket in rows.buckets]
    joined = parts[0] if len(parts) == 1 else torch.cat(parts)
    return joined.index_select(0, rows.back).unsqueeze(0), None


def _attend_bucket(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scaling: float | None,
    dropout: float,
    bucket: _Bucket,
) -> torch.Tensor:
    def padded(tensor: torch.Tensor) -> torch.Tensor:
        # (1, heads, tokens, size) is a view of (tokens, heads, size), so whole tokens are gathered at once.
        tokens = tensor[0].transpose(0, 1).index_select(0, bucket.padded)
        return tokens.view(bucket.rows, bucket.width, *tokens.shape[1:]).transpose(1, 2)

    attended = _causal(padded(query), padded(key), padded(value), scaling, dropout)
    tokens = attended.transpose(1, 2).reshape(bucket.rows * bucket.width, query.shape[1], query.shape[3])
    return tokens if bucket.inside is None else tokens.index_select(0, bucket.inside)


def _causal(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None, dropout: float
) -> torch.Tensor:
    kind = query.dtype
    if not query.is_cuda:
        # The CPU kernel's backward pass in bf16 takes seven times as long as in fp32.
        query, key, value = query.float(), key.float(), value.float()
    grouped = key.shape[1] != query.shape[1]
    attended = F.scaled_dot_product_attention(
        query, key, value, dropout_p=dropout, is_causal=True, scale=scaling, enable_gqa=grouped
    )
    return attended.to(kind)


def _varlen(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None, rows: Rows
) -> torch.Tensor:
    from torch.nn.attention.varlen import varlen_attn

    attended = varlen_attn(
        query[0].transpose(0, 1),
        key[0].transpose(0, 1),
        value[0].transpose(0, 1),
        rows.bounds,
        rows.bounds,
        rows.longest,
        rows.longest,
        scale=scaling,
        window_size=(-1, 0),
        enable_gqa=key.shape[1] != query.shape[1],
    )
    assert isinstance(attended, torch.Tensor)
    return attended.unsqueeze(0)
