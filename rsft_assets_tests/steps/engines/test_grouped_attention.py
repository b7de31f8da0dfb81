"""Attention of grouped heads on a CPU against Transformers' own."""

from types import SimpleNamespace

import pytest
import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from rsft_assets.specs.placement import Placement
from rsft_assets.steps.engines import open_engine
from rsft_assets.steps.engines.grouped_attention import grouped_attention

ROWS, SIZE, COLUMNS = 5, 22, 33


def case(heads, groups, asked):
    """A module, with queries of the last columns, keys and values in wider buffers, and a mask with padding."""
    torch.manual_seed(heads + groups + asked)
    query = torch.randn(ROWS, asked, heads, SIZE).transpose(1, 2)
    key, value = torch.randn(2, ROWS, groups, COLUMNS + 20, SIZE)[..., :COLUMNS, :]
    mask = torch.arange(COLUMNS) >= torch.arange(ROWS).unsqueeze(1)
    causal = torch.ones(COLUMNS, COLUMNS, dtype=torch.bool).tril()[-asked:]
    module = SimpleNamespace(num_key_value_groups=heads // groups, is_causal=True)
    return module, query, key, value, mask[:, None, None, :] & causal


@pytest.mark.parametrize(("heads", "groups"), [(4, 4), (4, 2), (9, 3), (6, 1)])
@pytest.mark.parametrize("asked", [1, 7])
def test_it_is_that_of_transformers(heads, groups, asked):
    given = case(heads, groups, asked)
    for scaling in (None, 0.3):
        ours, theirs = (of(*given, scaling=scaling)[0] for of in (grouped_attention, sdpa_attention_forward))
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_what_is_not_plain_is_left_to_transformers():
    module, query, key, value, mask = case(4, 2, COLUMNS)
    bias = torch.randn(1, 4, COLUMNS, COLUMNS)
    for more in ({"attention_mask": None}, {"attention_mask": mask, "position_bias": bias}):
        ours, theirs = (of(module, query, key, value, **more)[0] for of in (grouped_attention, sdpa_attention_forward))
        assert torch.equal(ours, theirs)


def test_the_engine_attends_with_it_on_a_cpu(tiny_model):
    with open_engine(Placement(engine="transformers", device="cpu"), None) as engine:
        engine.load(tiny_model)
        assert engine._model.config._attn_implementation == "rsft_grouped"
