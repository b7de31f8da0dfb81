"""GPUs of a training: deterministic, mixed, lost, too few. Stand-ins, where no card is at hand."""

import gc
import json
import os
import subprocess
import sys
import weakref
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.placement import Placement
from rsft_assets.steps.checkpoints.train import train
from rsft_assets.steps.checkpoints.training import cards, engine, launch, process
from rsft_assets.steps.processes.child import Child
from rsft_assets_tests.steps.checkpoints.test_train import checkpoint, weights_digest
from rsft_assets_tests.steps.checkpoints.tiny import CPU

GPU = "cuda:0"
CARD = SimpleNamespace(name="NVIDIA Some Card", uuid="0123")


@pytest.fixture
def card(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: CARD)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: CARD.name)


def settings_after(*trainings, **environment):
    """What each of these trainings of one process, as (deterministic, device), found set."""
    program = f"""
import json, os, torch
from rsft_assets.specs.placement import Placement
from rsft_assets.steps.checkpoints.training.cards import set_determinism
for deterministic, device in {trainings}:
    set_determinism(Placement(deterministic=deterministic), device)
    from torch._inductor import config
    libraries = map(os.environ.get, ("CUBLAS_WORKSPACE_CONFIG", "NCCL_ALGO"))
    print(json.dumps([torch.are_deterministic_algorithms_enabled(), config.deterministic, *libraries]))
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_a_deterministic_training_on_a_gpu_sets_torch_and_the_libraries_under_it():
    trainings = (False, GPU), (True, "cpu"), (True, GPU), (False, GPU)
    first, on_cpu, deterministic, last = settings_after(*trainings)
    assert first == on_cpu == [False, False, None, None]
    assert deterministic == [True, True, ":4096:8", "Ring"]
    assert last[:2] == [False, False]


@pytest.mark.slow
def test_a_backward_pass_in_a_thread_of_its_own_is_compiled_as_deterministic():
    """As on a GPU; settings of the compiler hold for one thread."""
    program = """
import threading, torch
from torch._dynamo.backends.common import aot_autograd
from torch._inductor import config
from rsft_assets.specs.placement import Placement
from rsft_assets.steps.checkpoints.training.cards import set_determinism
set_determinism(Placement(deterministic=True), "cuda:0")
def compiled(graph, inputs):
    print(config.deterministic)
    return graph
tried = torch.compile(lambda tensor: tensor.sin() * tensor, backend=aot_autograd(fw_compiler=compiled), dynamic=False)
backward = threading.Thread(target=tried(torch.ones(3, requires_grad=True)).sum().backward)
backward.start()
backward.join()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]


@pytest.mark.slow
def test_settings_of_the_user_stay():
    assert settings_after((True, GPU), CUBLAS_WORKSPACE_CONFIG=":16:8") == [[True, True, ":16:8", "Ring"]]


def test_the_manifest_says_whether_a_training_repeats(study, store):
    [output] = train(study, store, [checkpoint(study, 2)], placement=CPU)
    made_by = output.manifest.made_by
    assert made_by["repeatable"] is True and made_by["attention"] == "padded"
    assert made_by["placement"]["deterministic"] is False and made_by["placement"]["attention"] == "auto"
    assert cards.repeats(Placement(deterministic=True), GPU) and not cards.repeats(Placement(), GPU)


@pytest.mark.slow
def test_deterministic_changes_nothing_on_a_cpu(study, store):
    [plain] = train(study, store, [checkpoint(study, 2)], placement=CPU)
    placement = Placement(device="cpu", micro_batch_tokens=256, deterministic=True)
    [again] = train(study, store, [checkpoint(study, 2)], placement=placement, force=True)
    assert again.manifest.made_by["placement"]["deterministic"] is True
    assert again.manifest.fingerprint == plain.manifest.fingerprint
    assert weights_digest(again) == weights_digest(plain)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            torch.AcceleratorError("CUDA error: GPU is lost\nmore"),
            "(NVIDIA Some Card, GPU-0123) failed: CUDA error: GPU is",
        ),
        (RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED"), "GPU-0123) failed: CUDA error: CUBLAS"),
        (dist.DistBackendError("NCCL error: remote process exited"), "lost the others or failed: NCCL error: remote"),
    ],
)
def test_a_gpu_that_is_lost_is_named_with_what_to_do(card, error, words):
    with pytest.raises(StepError) as caught, cards.failures_named("cuda:1"):
        raise error
    message = str(caught.value)
    assert "on cuda:1" in message and words in message
    assert "run the same command again to resume" in message and "more" not in message.split("The last")[0]


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: out of memory\nmore"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        dist.DistBackendError("NCCL error\nLast error:\nCuda failure 2 'out of memory'"),
    ],
)
def test_a_library_without_memory_is_out_of_memory_and_no_lost_gpu(card, error):
    with pytest.raises(torch.OutOfMemoryError, match=str(error).splitlines()[0][:20]), cards.failures_named("cuda:1"):
        raise error


def test_other_errors_of_a_training_stay_what_they_are(card):
    with pytest.raises(RuntimeError, match="mat1 and mat2"), cards.failures_named("cuda:1"):
        raise RuntimeError("mat1 and mat2")


def test_an_error_of_the_gpu_in_a_training_is_named(study, store, monkeypatch, card):
    """The CPU trains in place of the GPU, up to the error."""

    def lost(*_):
        raise torch.AcceleratorError("CUDA error: GPU is lost")

    monkeypatch.setattr(process, "train", lost)
    named = cards.failures_named
    monkeypatch.setattr(process, "failures_named", lambda device: named("cuda:0"))
    with pytest.raises(StepError, match="GPU-0123"):
        train(study, store, [checkpoint(study, 2)], placement=CPU)


def test_a_training_on_a_gpu_leaves_its_memory_to_the_next_of_its_process(monkeypatch, tmp_path, card):
    """DeepSpeed's objects hold each other, so they stay until Python looks for such."""
    made = []

    class Training:
        def __init__(self, *_):
            self.itself = self
            made.append(weakref.ref(self))

        def go(self):
            pass

    for name, value in (("_Training", Training), ("device_of", lambda _: GPU), ("join_processes", lambda *_: None)):
        monkeypatch.setattr(process, name, value)
    gc.disable()
    try:
        process.run_job(SimpleNamespace(placement=Placement(), folder=tmp_path))
        assert made[0]() is None
    finally:
        gc.enable()


def test_a_process_that_died_on_a_gpu_is_named_with_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(launch, "gpus", lambda: (("NVIDIA Some Card", 0),))
    processes = [Child([sys.executable, "-c", f"raise SystemExit({code})"]) for code in (0, 3)]
    for child in processes:
        child.wait()
    (tmp_path / "process-1.log").write_text("CUDA error: unspecified launch failure\n")
    with pytest.raises(StepError) as caught:
        launch._raise_failure(processes, 1, SimpleNamespace(folder=tmp_path, placement=Placement()))
    assert "process 1 of 2 on its GPU 1 ended with exit status 3" in str(caught.value)
    assert "run the same command again to resume from it" in str(caught.value)
    assert "unspecified launch failure" in str(caught.value)


def test_the_message_is_that_of_the_process_that_failed_first(tmp_path):
    """Others then fail because it is gone."""
    processes = [Child([sys.executable, "-c", "raise SystemExit(1)"]) for _ in range(3)]
    for number, child in enumerate(processes):
        child.wait()
        facts = {"message": f"failure of {number}", "out_of_memory": False}
        (tmp_path / f"error-{number}.json").write_text(json.dumps(facts))
    with pytest.raises(StepError, match="failure of 1"):
        launch._raise_failure(processes, 1, SimpleNamespace(folder=tmp_path, placement=CPU))


def test_mixed_cards_are_named(monkeypatch, caplog):
    names = ["NVIDIA A", "NVIDIA B", "NVIDIA A"]

    def gather(into, mine):
        into[:] = names

    monkeypatch.setattr(dist, "get_world_size", lambda: 3)
    monkeypatch.setattr(dist, "get_rank", lambda: 0)
    monkeypatch.setattr(dist, "all_gather_object", gather)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: names[0])
    cards.warn_of_mixed("cuda:0")
    [line] = [record.getMessage() for record in caplog.records]
    assert "NVIDIA A (process 0, 2), NVIDIA B (process 1)" in line
    names[:] = ["NVIDIA A"] * 3
    cards.warn_of_mixed("cuda:0")
    assert len(caplog.records) == 1


def test_a_process_without_a_gpu_of_its_own_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert engine.device_of(Placement()) == "cuda:1"
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(StepError, match="process 2 of this machine has no GPU of its own: torch sees 2 here"):
        engine.device_of(Placement())
