"""Compiled layers and loss, layers computed again, and what follows where that fails or memory runs out."""

import gc
import json
import logging
import sys
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import checkpoint_ref
from rsft_assets.specs.placement import Placement
from rsft_assets.steps.checkpoints.train import train
from rsft_assets.steps.checkpoints.training import attention, launch, layers
from rsft_assets.steps.checkpoints.training import loss as losses
from rsft_assets.steps.checkpoints.training.engine import Session
from rsft_assets.steps.checkpoints.training.job import OutOfMemory
from rsft_assets.steps.checkpoints.training.loss import LossHead, Trainee, compiled_elements
from rsft_assets.steps.checkpoints.training.packing import micro_batch
from rsft_assets.steps.processes import events
from rsft_assets.steps.processes.child import Child
from rsft_assets_tests.steps.checkpoints.tiny import CPU, the_run, tiny_model

QWEN3 = "transformers.models.qwen3.modeling_qwen3"
COMPILED = Placement(device="cpu", compile="on")


def in_session(stage=0):
    """A tiny model as a session holds it."""
    model = tiny_model()
    assert attention.install(model)
    return SimpleNamespace(
        model=model, stage=stage, device="cpu", rank=0, engine=SimpleNamespace(module=Trainee(model))
    )


def line_of(lengths, seed=3):
    chance = np.random.default_rng(seed)
    rows = [chance.integers(1, 600, size=length + 1) for length in lengths]
    return micro_batch(rows, [1] * len(rows), [1 / sum(lengths)] * len(rows), device="cpu")


def gradient(trainee, line):
    trainee.train().zero_grad()
    trainee(line)[0].backward()
    return {name: parameter.grad.clone() for name, parameter in trainee.model.named_parameters()}


def gap(found, expected):
    """Relative difference of a whole gradient, in norm."""
    apart = sum(float((found[name] - expected[name]).square().sum()) for name in expected)
    return (apart / sum(float(value.square().sum()) for value in expected.values())) ** 0.5


def test_layers_computed_again_give_the_same_gradient():
    trainee = in_session().engine.module
    expected, line, kept = gradient(trainee, line_of((20, 9))), line_of((20, 9)), []

    def count(tensor):
        kept[-1] += tensor.nbytes
        return tensor

    for share, words in ((0.0, "0 of 2"), (0.5, "1 of 2"), (1.0, "2 of 2")):
        assert layers.recompute(trainee, share) == f"{words} layers are computed again in the backward pass"
        kept.append(0)
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            trainee.train()(line)
        assert gap(gradient(trainee, line), expected) == 0
    assert kept[0] > 1.5 * kept[1] > 2 * kept[2]


def test_nothing_is_compiled_on_a_cpu_unless_the_placement_says_so(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda *_, **__: pytest.fail("compiled"))
    for placement in (CPU, Placement(compile="off")):
        assert not layers.compile_for(in_session(), placement, packed=True)
    assert [layers.compiles(Placement(compile=one), "cuda:0", 1) for one in ("auto", "on", "off")] == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("stage", "packed", "words"),
    [(3, True, "not compiled at zero_stage 3"), (0, False, "Qwen3ForCausalLM has attention or layers of its own")],
)
def test_what_is_not_compiled_is_told(caplog, stage, packed, words):
    session = in_session(stage)
    with caplog.at_level(logging.INFO):
        assert not layers.compile_for(session, COMPILED, packed=packed)
    assert words in caplog.text and len(caplog.records) == 1
    assert {type(layer).__module__ for layer in layers.decoder_layers(session.model)} == {QWEN3}


@pytest.mark.slow
def test_a_machine_that_cannot_compile_trains_uncompiled_and_says_why(caplog):
    # What this process has compiled before would be used.
    torch._dynamo.reset()
    session, line = in_session(), line_of((20, 9))
    expected = gradient(session.engine.module, line)
    broken = {"cpp.cxx": ("no-such-compiler",), "force_disable_caches": True}
    with torch._inductor.config.patch(broken), caplog.at_level(logging.INFO):
        assert not layers.compile_for(session, COMPILED, packed=True)
    [words] = [one.getMessage() for one in caplog.records if one.name == events.__name__]
    assert "layers are not compiled, so training is slower" in words and "compiler" in words.lower()
    assert gap(gradient(session.engine.module, line), expected) == 0


@pytest.mark.slow
def test_a_line_that_cannot_be_compiled_later_is_trained_uncompiled(caplog):
    torch._dynamo.reset()
    ours, plain, line = in_session(), in_session().engine.module, line_of((1,))
    assert layers.compile_for(ours, COMPILED, packed=True)
    broken = {"cpp.cxx": ("no-such-compiler",), "force_disable_caches": True}
    with torch._inductor.config.patch(broken), caplog.at_level(logging.WARNING):
        assert gap(gradient(ours.engine.module, line), gradient(plain, line)) < 2e-6
    assert "no-such-compiler" in caplog.text


@pytest.fixture(scope="module")
def compiled():
    """One compiled model, and the same uncompiled."""
    session = in_session()
    assert layers.compile_for(session, COMPILED, packed=True)
    return session.engine.module, in_session().engine.module


@pytest.mark.slow
def test_lines_of_many_lengths_share_compiled_code(compiled):
    """A line of one token is compiled once more, and nothing else."""
    ours, plain = compiled
    for share in (0.0, 0.5):
        layers.recompute(ours, share)
        before = layers._graphs()
        for lengths in ((1,), (32,), (64, 1), *((n, 3 * n, 5) for n in range(2, 20)), (600,)):
            line = line_of(lengths)
            assert gap(gradient(ours, line), gradient(plain, line)) < 2e-6
            with torch.no_grad():
                torch.testing.assert_close(ours.eval()(line), plain.eval()(line), rtol=1e-5, atol=1e-3)
        assert layers._graphs() - before <= 12
    assert layers._graphs() == before


@pytest.mark.slow
def test_a_compiled_model_can_be_given_up(compiled):
    """As the model that a run started from is, after each comparison with it."""
    session = in_session()
    trainee, model = session.engine.module.eval(), weakref.ref(session.model)
    layers.compile_layers(trainee)
    with torch.no_grad():
        trainee(line_of((20, 9)))
    gc.disable()
    del session, trainee
    gone = model() is None
    gc.enable()
    assert gone


@pytest.mark.slow
def test_no_row_sees_another_in_compiled_layers(compiled):
    ours, _ = compiled
    ours.train()
    first, other = line_of((20, 9, 33)), line_of((20, 9, 33))
    other.input_ids[0, 20:29] = other.input_ids[0, 20:29].flip(0)
    before, after = ours.hidden(first), ours.hidden(other)
    assert torch.equal(before[:20], after[:20]) and torch.equal(before[29:], after[29:])
    assert not torch.equal(before[20:29], after[20:29])


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_compiled_loss_is_that_of_whole_logits(monkeypatch, dtype):
    torch.manual_seed(0)
    matrix, hidden = torch.randn(51, 16, dtype=dtype), torch.randn(23, 16, dtype=dtype)
    targets, weights = torch.randint(0, 51, (23,)), torch.rand(23)
    # One chunk in one piece, in pieces; several chunks.
    for chunk, piece in ((100, 100), (100, 5), (7, 4)):
        monkeypatch.setattr(losses, "chunk_logits", lambda *_, chunk=chunk: 51 * chunk)
        monkeypatch.setattr(losses, "_PIECE_LOGITS", 51 * piece)
        found = []
        for elements in (losses.plain_elements, compiled_elements()):
            head = LossHead(torch.nn.Parameter(matrix.clone()))
            head.elements = elements
            leaf = hidden.clone().requires_grad_()
            weighted, sums = head(leaf, targets, weights)
            weighted.backward()
            with torch.no_grad():
                assert head(leaf, targets, weights)[0] == pytest.approx(float(weighted.detach()), rel=1e-5)
            found.append((weighted.detach(), sums, leaf.grad.float(), head.weight.grad.float()))
        for ours, plain in zip(found[1], found[0], strict=True):
            assert float((ours - plain).norm() / plain.norm()) < (1e-6 if dtype is torch.float32 else 5e-3)


@pytest.mark.slow
def test_a_compiled_training_publishes_the_same_names_and_weights_to_rounding(store, study, caplog):
    from safetensors.torch import load_file

    ref = checkpoint_ref(the_run(study), 4)
    made = []
    for placement in (CPU, COMPILED):
        with caplog.at_level(logging.INFO):
            [output] = train(study, store, [ref], placement=placement, force=True)
        made.append(load_file(output.file("model.safetensors")))
    assert caplog.text.count("layers and loss are compiled") == 1
    assert made[0].keys() == made[1].keys()
    assert 0 < gap(made[1], made[0]) < 1e-3


def out_of_memory_at(monkeypatch, steps, models):
    """Memory runs out in these steps, one after the other; the models that are trained."""
    real, left = Session.backward, list(steps)

    def backward(session, micros):
        if not models or models[-1]() is not session.model:
            models.append(weakref.ref(session.model))
        session.steps = getattr(session, "steps", 0) + 1
        if left and session.steps == left[0]:
            del left[0]
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total")
        return real(session, micros)

    monkeypatch.setattr(Session, "backward", backward)


@pytest.mark.slow
def test_after_running_out_of_memory_training_goes_on_with_all_layers_computed_again(store, study, monkeypatch, caplog):
    ref, models = checkpoint_ref(the_run(study), 4), []
    [expected] = train(study, store, [ref], placement=CPU)
    out_of_memory_at(monkeypatch, [3], models)
    with caplog.at_level(logging.INFO):
        [output] = train(study, store, [ref], placement=CPU, force=True)
    gc.collect()
    assert len(models) == 2 and models[0]() is None
    assert "Tried to allocate 2.00 GiB, with 0% of the layers computed again" in caplog.text
    assert "2 of 2 layers are computed again in the backward pass" in caplog.text
    assert output.digest == expected.digest
    assert output.manifest.made_by["placement"]["recompute_share"] == 1.0


@pytest.mark.slow
@pytest.mark.parametrize(("placement", "steps"), [(CPU, [1, 1]), (Placement(device="cpu", recompute_share=0.5), [1])])
def test_running_out_of_memory_again_is_an_error_with_advice(store, study, monkeypatch, placement, steps):
    out_of_memory_at(monkeypatch, steps, [])
    with pytest.raises(
        StepError, match=r"Tried to allocate 2\.00 GiB, with .*In the placement, set micro_batch_tokens"
    ):
        train(study, store, [checkpoint_ref(the_run(study), 4)], placement=placement)


@pytest.mark.parametrize("kind", [OutOfMemory, StepError])
def test_one_of_several_processes_tells_that_memory_ran_out(tmp_path, kind):
    facts = {"message": "it", "out_of_memory": kind is OutOfMemory}
    (tmp_path / "error-1.json").write_text(json.dumps(facts))

    class Failing(Child):
        def has_answered(self):
            return False

    processes = [Failing([sys.executable, "-c", "raise SystemExit(1)"], env={}) for _ in range(2)]
    with pytest.raises(StepError, match="it") as caught:
        launch._watch(processes, SimpleNamespace(folder=tmp_path), None)
    assert type(caught.value) is kind
