"""Attention on a CPU in which several query heads read one key-value head, without a copy of the cache for each.

`install(model)` makes it the model's attention. With a mask, Transformers copies keys and values once for every query
head, at every token, since kernels for GPUs need that. PyTorch's CPU kernel does not.
"""

from typing import Any

import torch
import torch.nn.functional as F
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

_NAME = "rsft_grouped"


def install(model: Any) -> None:
    """Make it this model's attention, where the model's code takes one from outside."""
    if getattr(model, "_supports_attention_backend", False):
        AttentionInterface.register(_NAME, grouped_attention)
        AttentionMaskInterface.register(_NAME, sdpa_mask)
        model.set_attn_implementation(_NAME)


def grouped_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    position_bias: torch.Tensor | None = None,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """What Transformers' `sdpa_attention_forward` computes; without a mask, or with a bias, that function does."""
    if attention_mask is None or position_bias is not None:
        more |= {"dropout": dropout, "scaling": scaling, "position_bias": position_bias}
        attended, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **more)
        return attended, None
    grouped = key.shape[1] != query.shape[1]
    attended = F.scaled_dot_product_attention(
        query, key, value, attn_mask=attention_mask, dropout_p=dropout, scale=scaling, enable_gqa=grouped
    )
    return attended.transpose(1, 2).contiguous(), None
