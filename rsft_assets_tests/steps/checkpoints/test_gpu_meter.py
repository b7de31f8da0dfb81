"""The meter counts what a forward and backward pass multiplies, and says only what is known."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import Qwen3Config, Qwen3ForCausalLM

from rsft_assets.steps.checkpoints.training.gpu import Meter

H100 = "NVIDIA H100 80GB HBM3"


def qwen3(*, tied, **changes):
    shape = {
        "vocab_size": 512,
        "hidden_size": 64,
        "intermediate_size": 192,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
    }
    config = Qwen3Config(**shape | changes, tie_word_embeddings=tied, attn_implementation="eager", use_cache=False)
    return Qwen3ForCausalLM(config)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("length", [16, 256])
def test_operations_are_those_that_torch_counts(tied, length):
    model = qwen3(tied=tied)
    with FlopCounterMode(display=False) as counter:
        model(input_ids=torch.zeros((2, length), dtype=torch.long)).logits.sum().backward()
    # Eager attention multiplies above the diagonal, too: twice what causal attention needs.
    ours = Meter(model, "cpu", 1).flops(2 * length, 2 * (2 * length**2))
    assert ours == pytest.approx(counter.get_total_flops(), rel=0.01)


@pytest.fixture
def h100(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: H100)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 37 << 30)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: 38 << 30)


def test_the_first_measured_training_had_this_mfu(h100):
    """Qwen3-1.7B on one H100, 96,651 tokens in 5.643 s: by hand, 17.9 % for the weights and 4.8 % for attention."""
    shape = {"vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28}
    with torch.device("meta"):
        model = qwen3(tied=True, **shape, num_attention_heads=16, num_key_value_heads=8, head_dim=128)
    meter = Meter(model, "cuda:0", 1)
    assert meter.flops(1, 0) == 6 * model.num_parameters()
    entry = {"seen": 96_651, "seconds": 5.643, "flops": meter.flops(96_651, 96_651 * 8_000)}
    assert meter.note(entry) == "17,128 tokens/s, MFU 23 %, 37.0 GiB (38.0 reserved)"
    stats = meter.stats([entry, entry])
    assert stats["mfu"] == pytest.approx(0.179 + 0.048, abs=0.001)
    assert stats["flops_per_second"] == pytest.approx(0.2264 * 989e12, rel=0.01)
    assert (stats["card"], stats["tokens_per_second"]) == (H100, 17_127.6)
    assert (stats["allocated_bytes"], stats["reserved_bytes"]) == (37 << 30, 38 << 30)


def test_two_processes_share_the_operations_of_a_step(h100):
    model = qwen3(tied=True)
    entry = {"seen": 1_000, "seconds": 2.0, "flops": 1e12}
    one, two = (Meter(model, "cuda:0", processes).stats([entry]) for processes in (1, 2))
    assert one["flops_per_second"] == 2 * two["flops_per_second"] == 5e11
    assert one["tokens_per_second"] == two["tokens_per_second"] == 500


def test_an_unknown_card_has_memory_and_no_mfu(h100, monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"{H100} MIG 1g.10gb")
    meter = Meter(qwen3(tied=True), "cuda:0", 1)
    entry = {"seen": 1_000, "seconds": 2.0, "flops": 1e12}
    assert meter.note(entry) == "500 tokens/s, 37.0 GiB (38.0 reserved)"
    assert "mfu" not in meter.stats([entry])
    assert f"{H100} MIG 1g.10gb: its peak is not known" in caplog.text


def test_a_processor_has_speed_alone_and_old_steps_are_not_counted():
    meter = Meter(qwen3(tied=True), "cpu", 1)
    old, new = {"seen": 9, "seconds": 9.0}, {"seen": 1_000, "seconds": 2.0, "flops": 1e12}
    assert meter.note(new) == "500 tokens/s"
    assert meter.stats([old, new]) == {"card": "cpu", "tokens_per_second": 500.0, "flops_per_second": 5e11}
    assert meter.stats([old]) == {"card": "cpu"}
