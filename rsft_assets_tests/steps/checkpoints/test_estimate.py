"""Memory and disk before anything starts."""

from dataclasses import replace

import pytest

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.placement import Placement
from rsft_assets.steps.checkpoints.training import estimate as estimates
from rsft_assets.steps.checkpoints.training.estimate import estimate
from rsft_assets.steps.checkpoints.training.gpu import peak_of
from rsft_assets.steps.checkpoints.training.models import Shape
from rsft_assets.steps.processes.hardware import memory_needed

GIB = 2**30
QWEN3_14B = Shape(hidden_size=5120, intermediate_size=17408, num_hidden_layers=40, vocab_size=151936)
EIGHT = Placement(processes=8, zero_stage=3)


def of(placement, precision="bf16", **changes):
    facts = {"longest": 20_000, "kept": 9, "recompute": 1.0, **changes}
    return estimate(QWEN3_14B, 14_770_000_000, precision, placement, **facts)


@pytest.mark.parametrize(
    ("processes", "stage", "precision", "bytes_a_weight"),
    [
        (1, 0, "fp32", 16),
        (1, 0, "bf16-pure", 8),
        (1, 0, "bf16", 18),
        (8, 0, "bf16", 2 + 4 + 12 / 8),
        (8, 2, "bf16", 2 + (4 + 12) / 8),
        (8, 3, "bf16", 18 / 8),
        (8, 1, "fp32", 4 + 4 + 8 / 8),
    ],
)
def test_states_are_shared_as_the_stage_says(processes, stage, precision, bytes_a_weight):
    found = of(Placement(processes=processes, zero_stage=stage), precision)
    assert found.states == pytest.approx(14_770_000_000 * bytes_a_weight, rel=1e-6)


def test_a_plan_names_the_memory_that_a_training_reckons_with():
    assert memory_needed(14_770_000_000, "checkpoints") == of(Placement()).states


def test_qwen3_14b_fits_eight_h200_and_not_one():
    assert of(EIGHT).memory < 141 * GIB
    assert of(Placement()).memory > 141 * GIB


def test_recomputing_and_smaller_micro_batches_save_activations():
    assert of(EIGHT).activations < of(EIGHT, recompute=0.0).activations / 5
    small = replace(EIGHT, micro_batch_tokens=1_000)
    assert of(small, longest=500).activations < of(EIGHT).activations
    assert of(small).activations == of(replace(EIGHT, micro_batch_tokens=20_000)).activations


def test_disk_holds_kept_weights_and_two_states():
    found = of(EIGHT)
    assert found.disk == 9 * 2 * 14_770_000_000 + 2 * 12 * 14_770_000_000


def test_memory_of_the_machine_beside_its_gpus_is_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(estimates, "gpus", lambda: (("NVIDIA H200", 141 * GIB),) * 8)
    monkeypatch.setattr(estimates, "free_memory", lambda: 60 * GIB)
    found = replace(of(EIGHT), disk=0)
    notes = []
    monkeypatch.setattr(estimates, "say_note", notes.append)
    estimates.check(found, EIGHT, "cuda:0", tmp_path, "it")
    assert notes == [
        f"it: about {found.memory / GIB:.2f} GiB of memory on each NVIDIA H200, 0.00 GiB of disk; saving takes up to "
        f"{12 * 14_770_000_000 / GIB:.2f} GiB more of this machine's memory, where twice that is free"
    ]
    monkeypatch.setattr(estimates, "free_memory", lambda: 50 * GIB)
    with pytest.raises(StepError, match=r"51\.5 GiB of this machine's own memory.*27\.5 to gather a checkpoint"):
        estimates.check(found, EIGHT, "cuda:0", tmp_path, "it")


@pytest.mark.parametrize(
    ("device", "placement", "longest", "advice"),
    [
        ("cuda:0", Placement(), 9, "raise processes, with zero_stage = 3; or lower micro_batch_tokens"),
        ("cuda:0", Placement(processes=2, zero_stage=3), 20_000, "raise processes; its longest row has 20000 tokens"),
        ("cuda:0", Placement(recompute_share=0.5), 9, "set recompute_share = 1; or raise processes"),
        ("cpu", Placement(processes=2, micro_batch_tokens=99), 100, "raise zero_stage (3 shares everything between"),
        ("cpu", Placement(micro_batch_tokens=99), 100, "Use a larger machine, or a lower max_length; its longest row"),
    ],
)
def test_advice_is_what_would_help_here(tmp_path, monkeypatch, device, placement, longest, advice):
    monkeypatch.setattr(estimates, "gpus", lambda: (("NVIDIA H200", 9 * GIB),))
    monkeypatch.setattr(estimates, "free_memory", lambda: 9 * GIB)
    share = placement.recompute_share or 1.0
    with pytest.raises(StepError) as caught:
        estimates.check(of(placement, longest=longest, recompute=share), placement, device, tmp_path, "it")
    assert advice in str(caught.value)
    assert f"activations of {max(placement.micro_batch_tokens, longest)} tokens" in str(caught.value)


QWEN3_1_7B = Shape(hidden_size=2048, intermediate_size=6144, num_hidden_layers=28, vocab_size=151936)


@pytest.mark.parametrize(
    ("gpu", "placement", "least", "most"),
    [
        (80, Placement(), 0, 0),
        (60, Placement(), 4, 14),
        (60, Placement(compile="off"), 14, 24),
        (60, Placement(zero_stage=3), 14, 24),
        (60, Placement(micro_batch_tokens=9_000), 0, 0),
        (34, Placement(), 28, 28),
        (10, Placement(), 28, 28),
        (80, Placement(recompute_share=0.5), 14, 14),
        (10, Placement(recompute_share=0.0), 0, 0),
        (None, Placement(), 0, 0),
        (None, Placement(recompute_share=1.0), 28, 28),
    ],
)
def test_as_few_layers_as_memory_allows_are_computed_again(monkeypatch, gpu, placement, least, most):
    """At 1.7B; on a CPU none, and where the placement says a share, that one."""
    monkeypatch.setattr(estimates, "gpus", lambda: (("a GPU", gpu * GIB),))
    monkeypatch.setattr(estimates, "shape_of", lambda base: QWEN3_1_7B)
    monkeypatch.setattr(estimates, "parameters_of", lambda base: 1_720_574_976)

    def fitting(placement):
        device = "cpu" if gpu is None else "cuda:0"
        return estimates.fitting(None, "bf16", placement, device, longest=9_000, kept=1)

    found = fitting(placement)
    assert least <= round(28 * found.recompute) <= most
    if 0 < least < most < 28:
        one_less = fitting(replace(placement, recompute_share=found.recompute - 1 / 28))
        assert found.memory <= gpu * GIB < one_less.memory


def test_the_estimate_of_compiled_layers_is_what_an_h100_took():
    """67.8 GiB were allocated at 1.7B with nothing computed again, up to 70.9 GiB reserved."""
    found = estimate(QWEN3_1_7B, 1_720_574_976, "bf16", Placement(), longest=9_000, kept=1, recompute=0.0, gpu=80 * GIB)
    assert 67.8 * GIB < found.memory < 76 * GIB


@pytest.mark.parametrize(
    ("name", "peak"),
    [("NVIDIA H200", 990e12), ("NVIDIA H20", 148e12), ("NVIDIA A100-SXM4-80GB", 312e12), ("Some GPU", None)],
)
def test_the_peak_is_that_of_the_longest_name(name, peak):
    assert peak_of(name) == peak
