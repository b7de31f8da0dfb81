"""Attention confined to each row of a packed line, for every model that uses Transformers' attention interface.

`install(model)` makes it the model's attention; a forward pass then takes `rows=Rows(lengths, device, kernel)`.
`kernels` chooses the kernel, the model's `rows_kernel`. Padded: rows of like length are attended to together. The
FlashAttentions: the whole line is one call of `torch.nn.attention.varlen`. cuDNN: the same for short rows, and one
padded call for each long row.
"""

import itertools
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

NAME = "rsft_confined"
PADDED, CUDNN = "padded", "cudnn"
LONG_ROW = 2_048
"""Tokens from which on a row is attended to by cuDNN, whose kernels gain little on shorter ones."""
_STEP = 256
"""Long rows are padded to multiples of it. cuDNN plans each new length for 0.1 s; on rows of 6,000 tokens on average
this is 72 lengths and 3 % more to compute. 512: 37 and 6 %; steps that grow with the length do worse for either."""
_LONG_ROW_BACKEND = SDPBackend.CUDNN_ATTENTION


class Rows:
    """Where the rows of a packed line lie. What a kernel reads is worked out when its first layer asks."""

    def __init__(self, lengths: Sequence[int], device: str | torch.device, kernel: str = PADDED) -> None:
        self.lengths, self.device, self.kernel = tuple(lengths), device, kernel
        self.longest = max(self.lengths)
        self._starts = [0, *itertools.accumulate(self.lengths)]

    @cached_property
    def bounds(self) -> torch.Tensor:
        return torch.tensor(self._starts, dtype=torch.int32).to(self.device, non_blocking=True)

    @cached_property
    def buckets(self) -> "list[_Bucket]":
        return _buckets(self.lengths, self._starts, self.device)

    @cached_property
    def back(self) -> torch.Tensor:
        """Buckets reorder the tokens; this restores the order of the line."""
        order = torch.cat([bucket.places for bucket in self.buckets])
        back = torch.empty_like(order)
        back[order] = torch.arange(len(order), device=self.device)
        return back

    @cached_property
    def pieces(self) -> "list[Rows]":
        """Each long row alone, and short rows that follow each other together."""
        parts: list[list[int]] = []
        for length in self.lengths:
            if parts and max(length, *parts[-1]) < LONG_ROW:
                parts[-1].append(length)
            else:
                parts.append([length])
        return [Rows(part, self.device) for part in parts]


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


def takes_rows(model: Any) -> bool:
    """False where the model's code has attention of its own, or a sliding window, which comes as a mask."""
    windowed = getattr(model.config, "sliding_window", None)
    return getattr(model, "_supports_attention_backend", False) and not windowed


def install(model: Any) -> bool:
    """Make it this model's attention, where the model takes rows."""
    from transformers import AttentionInterface, AttentionMaskInterface

    model.rows_kernel = PADDED
    if not takes_rows(model):
        return False
    # Not a decorator, which would import the compiler, and take two seconds, even to estimate a training.
    AttentionInterface.register(NAME, torch.compiler.disable(confined_attention))  # type: ignore[no-untyped-call]
    AttentionMaskInterface.register(NAME, _no_mask)
    model.set_attn_implementation(NAME)
    return True


def _no_mask(*_: Any, **__: Any) -> None:
    # Transformers would otherwise build a causal mask over the whole line.
    return None


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
    if rows.kernel == PADDED or dropout:
        return _padded(query, key, value, scaling, dropout, rows), None
    return (_by_length if rows.kernel == CUDNN else _varlen)(query, key, value, scaling, rows), None


def _padded(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None, dropout: float, rows: Rows
) -> torch.Tensor:
    parts = [_attend_bucket(query, key, value, scaling, dropout, bucket) for bucket in rows.buckets]
    joined = parts[0] if len(parts) == 1 else torch.cat(parts)
    return joined.index_select(0, rows.back).unsqueeze(0)


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


def _by_length(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None, rows: Rows
) -> torch.Tensor:
    sizes = [sum(piece.lengths) for piece in rows.pieces]
    # Split, not sliced: the backward pass of a slice writes a gradient as long as the whole line.
    parts = zip(rows.pieces, *(torch.split(tensor, sizes, dim=2) for tensor in (query, key, value)), strict=True)
    return torch.cat(
        [
            _long_row(q, k, v, scaling) if piece.longest >= LONG_ROW else _varlen(q, k, v, scaling, piece)
            for piece, q, k, v in parts
        ],
        dim=1,
    )


def _long_row(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None) -> torch.Tensor:
    """Padded on the right, where causal attention never looks."""
    length = query.shape[2]
    query, key, value = (F.pad(tensor, (0, 0, 0, -length % _STEP)) for tensor in (query, key, value))
    with sdpa_kernel(_LONG_ROW_BACKEND):
        attended = _causal(query, key, value, scaling, 0.0)
    return attended[:, :, :length].transpose(1, 2)
