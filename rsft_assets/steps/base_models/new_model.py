"""An untrained base model: its shape and its initial weights."""

from typing import Any

import torch

from rsft_assets.specs.models import Pretraining


def new_qwen3(spec: Pretraining, *, vocabulary: int, end: int) -> Any:
    """The untrained model of a spec, its weights drawn from the spec's seed."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=spec.hidden,
        intermediate_size=spec.feed_forward_ratio * spec.hidden,
        num_hidden_layers=spec.layers,
        num_attention_heads=spec.heads,
        num_key_value_heads=spec.key_value_heads,
        head_dim=spec.head_dim,
        max_position_embeddings=spec.positions,
        rope_parameters={"rope_type": "default", "rope_theta": spec.rope_theta},
        rms_norm_eps=spec.norm_eps,
        tie_word_embeddings=True,
        initializer_range=spec.init_std,
        use_cache=True,
        bos_token_id=None,
        eos_token_id=end,
    )
    torch.manual_seed(spec.seed)
    model: Any = Qwen3ForCausalLM
    return model(config)
