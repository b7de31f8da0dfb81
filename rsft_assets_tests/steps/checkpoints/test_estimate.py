"""Memory and disk before anything starts."""

import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.placement import Placement
from rsft_assets.steps.checkpoints.training import estimate as estimates
from rsft_assets.steps.checkpoints.training import gpu
from rsft_assets.steps.checkpoints.training.estimate import estimate
from rsft_assets.steps.checkpoints.training.models import Shape
from rsft_assets.steps.processes.hardware import memory_needed

GIB = 2**30
QWEN3_14B = Shape(hidden_size=5120, intermediate_size=17408, num_hidden_layers=40, vocab_size=151936)
EIGHT = Placement(processes=8, zero_stage=3)


def of(placement, precision="bf16", **changes):
    facts = {"parameters": 14_770_000_000, "longest": 20_000, "kept": 9, "recompute": 1.0, **changes}
    return estimate(QWEN3_14B, facts.pop("parameters"), precision, placement, **facts)


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


def test_buffers_of_deepspeed_count_on_a_gpu():
    """Gradients of a bucket, in bf16 at stage 2 and in fp32 at stage 3; there also the weights that are whole."""
    plain, *found = (of(replace(EIGHT, zero_stage=stage), gpu=80 * GIB).buffers for stage in (1, 2, 3))
    assert [buffers - plain for buffers in found] == [10**9, 2 * 10**9 + 2 * 10**9]
    assert of(EIGHT, gpu=80 * GIB, parameters=10**8).buffers - plain == 2 * 10**9 + 2 * 10**8
    assert of(EIGHT).buffers == plain


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


@pytest.fixture
def card(monkeypatch):
    """Pretend that torch sees eight cards; the size of each is the argument."""

    def put(size, free=None, name="NVIDIA H200"):
        one = SimpleNamespace(name=name, total_memory=size)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: one)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free or size, size))
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 0)

    return put


def test_memory_of_the_machine_beside_its_gpus_is_looked_at(tmp_path, monkeypatch, card):
    card(141 * GIB)
    monkeypatch.setattr(estimates, "free_memory", lambda: 60 * GIB)
    found = replace(of(EIGHT), disk=0)
    notes = []
    monkeypatch.setattr(estimates, "say_note", notes.append)
    estimates.check(lambda _: found, EIGHT, "cuda:0", tmp_path, "it")
    assert notes == [
        f"it: about {found.memory / GIB:.2f} GiB of memory on each NVIDIA H200, 0.00 GiB of disk; while a state is "
        f"saved, up to {12 * 14_770_000_000 / GIB:.1f} GiB of this machine's memory"
    ]
    monkeypatch.setattr(estimates, "free_memory", lambda: 50 * GIB)
    with pytest.raises(StepError, match=r"51\.5 GiB of this machine's own memory.*27\.5 to gather a checkpoint"):
        estimates.check(lambda _: found, EIGHT, "cuda:0", tmp_path, "it")


def refusal(placement, device, tmp_path, **facts):
    with pytest.raises(StepError) as caught:
        estimates.check(lambda at: of(at, **facts), placement, device, tmp_path, "it")
    return str(caught.value)


@pytest.mark.parametrize(
    ("device", "placement", "size", "longest", "advice"),
    [
        ("cuda:0", Placement(), 80, 9, "In the placement, set processes = 8 and zero_stage = 3. As it is placed, a"),
        ("cuda:0", Placement(processes=8), 80, 9, "set zero_stage = 2, or processes = 16 and zero_stage = 3."),
        (
            "cuda:0",
            replace(EIGHT, micro_batch_tokens=99_000),
            76,
            9,
            "In the placement, set micro_batch_tokens = 49500",
        ),
        ("cuda:0", Placement(), 3, 20_000, "Use a larger machine, or a lower max_length; its longest row has 20000"),
        ("cpu", Placement(processes=4), 500, 9, "In the placement, set zero_stage = 2"),
        ("cpu", Placement(micro_batch_tokens=99), 9, 100, "Use a larger machine, or a lower max_length; its longest"),
    ],
)
def test_advice_is_what_would_fit_here(tmp_path, monkeypatch, card, device, placement, size, longest, advice):
    card(size * GIB)
    monkeypatch.setattr(estimates, "free_memory", lambda: size * GIB)
    said = refusal(placement, device, tmp_path, longest=longest)
    assert advice in said
    assert f"activations of {max(placement.micro_batch_tokens, longest)} tokens" in said


def test_advice_recomputes_where_that_is_enough(tmp_path, card):
    card(80 * GIB)
    with pytest.raises(StepError, match=r"In the placement, set recompute_share = 1\.0; its"):
        estimates.check(
            lambda at: of(at, recompute=float(at.recompute_share or 0)),
            replace(EIGHT, recompute_share=0.5),
            "cuda:0",
            tmp_path,
            "it",
        )


def test_a_smaller_model_that_is_named_would_fit(tmp_path, card):
    card(80 * GIB)
    said = refusal(Placement(), "cuda:0", tmp_path)
    billions = float(re.search(r"up to about (\d\.\d) billion weights fits", said)[1])
    smaller = estimate(QWEN3_14B, int(billions * 1e9), "bf16", Placement(), longest=20_000, kept=9, recompute=1.0)
    assert 0.97 * 80 * GIB < smaller.memory < 1.02 * 80 * GIB


def test_what_others_use_of_a_card_is_not_there_and_what_this_process_keeps_is(tmp_path, monkeypatch, card):
    need = estimate(QWEN3_14B, 10**9, "bf16", Placement(), longest=9, kept=9, recompute=1.0).memory
    small = {"parameters": 10**9, "longest": 9}
    card(80 * GIB, free=need - GIB)
    assert "which has" in refusal(Placement(), "cuda:0", tmp_path, **small)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 2 * GIB)
    with pytest.raises(StepError, match="own memory"):
        monkeypatch.setattr(estimates, "free_memory", lambda: 0)
        estimates.check(lambda at: of(at, **small), Placement(), "cuda:0", tmp_path, "it")


def test_cards_of_other_processes_are_not_entered(monkeypatch, card):
    card(80 * GIB)

    def entered(device):
        raise AssertionError("this would open a context")

    monkeypatch.setattr(torch.cuda, "mem_get_info", entered)
    for placement in (Placement(processes=2), Placement(runs=2)):
        assert gpu.memory_of("cuda:0", placement) == ("NVIDIA H200", 80 * GIB - GIB // 2)


def test_mixed_cards_count_as_the_smallest(monkeypatch, card):
    card(80 * GIB)
    sizes = [80 * GIB, 40 * GIB, 24 * GIB]
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda n: SimpleNamespace(name=n, total_memory=sizes[n]))
    assert gpu.memory_of("cuda:0", Placement(processes=2)) == (1, 40 * GIB - GIB // 2)


@pytest.mark.parametrize("setting", ["", "PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"])
def test_a_user_s_own_allocator_settings_are_left_alone(monkeypatch, setting):
    for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"):
        monkeypatch.delenv(name, raising=False)
    if setting:
        monkeypatch.setenv(setting, "max_split_size_mb:512")
    before = torch._C._accelerator_getAllocatorSettings()
    try:
        gpu.allow_expandable_segments()
        assert ("expandable_segments:True" in torch._C._accelerator_getAllocatorSettings()) is not bool(setting)
    finally:
        torch._C._accelerator_setAllocatorSettings(before)


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
def test_as_few_layers_as_memory_allows_are_computed_again(monkeypatch, card, gpu, placement, least, most):
    """At 1.7B; on a CPU none, and where the placement says a share, that one."""
    card((gpu or 0) * GIB)
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
