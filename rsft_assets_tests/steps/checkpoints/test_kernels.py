"""The kernel of packed rows: chosen by what the card and the training allow, tried, told, or refused with the reason.

Cards are stand-ins, and so are the kernels' trials where no other is said; what runs on a card is marked `gpu`.
"""

import logging
import sys
import types

import pytest
import torch
from torch.nn.attention import SDPBackend, current_flash_attention_impl

from rsft_assets.specs.errors import StepError
from rsft_assets.steps.checkpoints.training import attention, kernels
from rsft_assets.steps.checkpoints.training.kernels import choose
from rsft_assets_tests.steps.checkpoints.tiny import tiny_model

GPU = "cuda:0"
ADA, AMPERE, BLACKWELL, HOPPER, VOLTA = (8, 9), (8, 0), (10, 0), (9, 0), (7, 0)


@pytest.fixture
def card(monkeypatch):
    """Set the compute capability of the card, and which kernels fail their trial."""

    def set_card(capability, failing=()):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA Some Card")
        monkeypatch.setattr(kernels, "_trial", lambda name, *_: "it failed its trial" if name in failing else None)

    yield set_card
    kernels._activate("padded")


@pytest.fixture
def flash4(monkeypatch):
    """Stand-in for the package of FlashAttention 4."""
    module = types.ModuleType("flash_attn.cute.interface")
    module._flash_attn_fwd = module._flash_attn_bwd = None
    for name in ("flash_attn", "flash_attn.cute"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    yield
    # torch remembers the module.
    torch.nn.attention._fa4._fa4_import_module.cache_clear()


@pytest.fixture
def deterministic():
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def model():
    return tiny_model().to(torch.bfloat16)


@pytest.mark.parametrize(
    ("capability", "expected"),
    [(HOPPER, "cudnn"), (BLACKWELL, "cudnn"), (AMPERE, "flash2"), (ADA, "flash2"), (VOLTA, "padded")],
)
def test_auto_takes_the_fastest_that_the_card_has(card, model, capability, expected):
    card(capability)
    assert choose("auto", model, GPU) == expected


def test_auto_goes_on_from_kernels_that_fail_and_says_why_once(card, model, caplog):
    card(HOPPER, failing=("cudnn", "flash2"))
    with caplog.at_level(logging.INFO):
        assert choose("auto", model, GPU) == "padded"
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith("attention of packed rows: padded; not flash4: ModuleNotFoundError: No module named")
    assert line.endswith("not cudnn: it failed its trial; not flash2: it failed its trial")


def test_a_kernel_package_is_used_where_it_is_installed_and_not_by_a_later_choice(card, model, flash4):
    card(HOPPER)
    assert choose("auto", model, GPU) == "flash4"
    assert current_flash_attention_impl() == "FA4"
    assert choose("flash2", model, GPU) == "flash2"
    assert current_flash_attention_impl() is None


def test_a_kernel_package_that_fails_its_trial_is_not_left_in_use(card, model, flash4):
    card(HOPPER, failing=("flash4", "cudnn", "flash2"))
    assert choose("auto", model, GPU) == "padded"
    assert current_flash_attention_impl() is None


def test_deterministic_training_takes_no_kernel_that_does_not_repeat(card, model, deterministic):
    card(HOPPER)
    assert choose("auto", model, GPU) == "flash2"
    with pytest.raises(StepError, match='attention = "cudnn", but its backward pass does not repeat'):
        choose("cudnn", model, GPU)


@pytest.mark.parametrize(
    ("asked", "capability", "words"),
    [
        ("flash3", BLACKWELL, "NVIDIA Some Card has compute capability 10.0, and it needs 9.x"),
        ("flash4", HOPPER, "No module named 'flash_attn'"),
        ("flash2", VOLTA, "NVIDIA Some Card has compute capability 7.0"),
    ],
)
def test_a_kernel_that_is_asked_for_and_cannot_be_had_is_refused_with_the_reason(card, model, asked, capability, words):
    card(capability)
    with pytest.raises(StepError) as caught:
        choose(asked, model, GPU)
    assert f'attention = "{asked}"' in str(caught.value) and words in str(caught.value)


def test_cudnn_can_be_asked_for_where_it_gains_nothing(card, model):
    card(AMPERE)
    assert choose("cudnn", model, GPU) == "cudnn"


def test_full_precision_and_models_with_their_own_attention_use_no_kernel(card, model):
    card(HOPPER)
    assert choose("auto", tiny_model(), GPU) == "padded"
    with pytest.raises(StepError, match=r"the weights are in torch\.float32"):
        choose("flash2", tiny_model(), GPU)
    model._supports_attention_backend = False
    assert choose("auto", model, GPU) == choose("padded", model, GPU) == "padded"
    with pytest.raises(StepError, match="the model's own code computes its attention"):
        choose("flash2", model, GPU)


def test_a_cpu_has_the_padded_path_only():
    assert choose("auto", tiny_model(), "cpu") == choose("padded", tiny_model(), "cpu") == "padded"
    with pytest.raises(StepError, match="this training runs on the CPU"):
        choose("cudnn", tiny_model(), "cpu")


@pytest.fixture
def small(monkeypatch):
    """Rows of the trial that a CPU attends to in no time, by backends that it has."""
    monkeypatch.setattr(attention, "LONG_ROW", 16)
    monkeypatch.setattr(attention, "_STEP", 8)
    monkeypatch.setattr(attention, "_LONG_ROW_BACKEND", SDPBackend.MATH)
    monkeypatch.setattr(kernels, "_TRIAL_ROWS", (17, 5))
    monkeypatch.setattr(attention, "_varlen", padded)


def padded(query, key, value, scaling, rows):
    return attention._padded(query, key, value, scaling, 0.0, rows)


def leaking(query, key, value, scaling, rows):
    return attention._causal(query, key, value, scaling, 0.0).transpose(1, 2)


@pytest.mark.parametrize("kernel", ["cudnn", "flash2"])
def test_the_trial_passes_a_right_kernel(small, kernel):
    assert kernels._trial(kernel, tiny_model().config, torch.bfloat16, "cpu") is None


def test_the_trial_finds_a_kernel_that_lets_rows_see_each_other(small, monkeypatch):
    monkeypatch.setattr(attention, "_varlen", leaking)
    assert "differ from the padded path" in kernels._trial("flash2", tiny_model().config, torch.bfloat16, "cpu")


def test_the_trial_does_not_compare_a_kernel_with_itself(small, monkeypatch):
    """A package of FlashAttention replaces what torch computes by Flash, rows one by one included."""
    real = attention._causal

    def causal(query, *rest):
        scale = 1.5 if torch.backends.cuda.flash_sdp_enabled() else 1.0
        return real(query, *rest) * scale

    monkeypatch.setattr(attention, "_causal", causal)
    assert "differ from the padded path" in kernels._trial("flash2", tiny_model().config, torch.bfloat16, "cpu")


class _NoGradient(torch.autograd.Function):
    """What goes in comes out; no number comes back."""

    @staticmethod
    def forward(ctx, tensor):
        return tensor.clone()

    @staticmethod
    def backward(ctx, slope):
        return slope * float("nan")


def test_the_trial_finds_a_gradient_that_is_no_number(small, monkeypatch):
    monkeypatch.setattr(attention, "_varlen", lambda query, *rest: padded(_NoGradient.apply(query), *rest))
    assert "differ from the padded path" in kernels._trial("flash2", tiny_model().config, torch.bfloat16, "cpu")


def test_the_trial_finds_a_kernel_that_does_not_repeat(small, monkeypatch, deterministic):
    calls = iter((1.0, 1.005))
    monkeypatch.setattr(attention, "_varlen", lambda *arguments: padded(*arguments) * next(calls))
    assert "did not repeat to the bit" in kernels._trial("flash2", tiny_model().config, torch.float32, "cpu")


@pytest.mark.gpu
@pytest.mark.parametrize("kernel", ["flash4", "flash3", "cudnn", "flash2"])
def test_a_kernel_of_this_card_passes_its_trial(kernel):
    model = tiny_model().to(torch.bfloat16)
    model.config.num_attention_heads, model.config.num_key_value_heads, model.config.head_dim = 16, 8, 128
    try:
        choose(kernel, model, GPU)
    except StepError as error:
        if "differ" in str(error):
            raise
        pytest.skip(str(error))
    finally:
        kernels._activate("padded")
