"""A GPU that torch cannot use is named, with torch's own reason; a CPU takes its place only where it can."""

import pytest
import torch

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.placement import Placement
from rsft_assets.steps.engines.opening import engine_kind, open_engine
from rsft_assets.steps.processes import torch_device as devices
from rsft_assets.steps.processes.torch_device import torch_device
from rsft_assets.steps.questions.doctor import examine
from rsft_assets.steps.records.store import Store
from rsft_assets_tests.steps.questions.test_doctor import cluster

TOO_OLD = (
    "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver by downloading "
    "and installing a new version from the URL: http://www.nvidia.com/Download/index.aspx Alternatively, go to: "
    "https://pytorch.org to install a PyTorch version that has been compiled with your version of the CUDA driver."
)


@pytest.fixture
def old_driver(monkeypatch):
    """What torch 2.13 does there: no GPU is available, and its own words come from `init`."""

    def init():
        raise RuntimeError(TOO_OLD)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", init)
    devices._say_once.cache_clear()
    for module in ("processes.torch_device", "questions.doctor"):
        monkeypatch.setattr(f"rsft_assets.steps.{module}.gpus", lambda: (("NVIDIA H100 PCIe", 80 << 30),))


@pytest.mark.parametrize(("placement", "needs_gpu"), [(Placement(), True), (Placement(device="cuda"), False)])
def test_an_old_driver_stops_what_needs_a_gpu(old_driver, placement, needs_gpu):
    with pytest.raises(StepError) as caught:
        torch_device(placement, needs_gpu=needs_gpu)
    for words in ("torch cannot use NVIDIA H100 PCIe", "driver on your system is too old", "update the driver, or"):
        assert words in str(caught.value)


def test_what_is_made_for_cpus_runs_there_and_says_why_once(old_driver, caplog):
    assert [torch_device(Placement()) for _ in range(3)] == ["cpu"] * 3
    assert [record.message.count("too old") for record in caplog.records] == [1]
    caplog.clear()
    assert torch_device(Placement(device="cpu"), needs_gpu=True) == "cpu" and not caplog.records


def test_a_teacher_is_not_drawn_from_on_the_cpu_instead(old_driver):
    assert engine_kind(Placement()) == "transformers"
    with pytest.raises(StepError, match=r"too old.*set device = .cpu. in the placement"):
        open_engine(Placement(), None)


def test_without_a_gpu_the_cpu_is_no_surprise(monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(devices, "gpus", lambda: ())
    assert torch_device(Placement(), needs_gpu=True) == "cpu" and not caplog.records
    with pytest.raises(StepError, match=r"device = .cuda., but torch sees no GPU here"):
        torch_device(Placement(device="cuda"))


def test_the_doctor_says_it(old_driver, tmp_path):
    found = {finding.what: finding for finding in examine(Store(tmp_path), cluster)}["torch"]
    assert found.state == "problem" and "too old" in found.words
