"""What fits beside each other on a machine."""

import os
from dataclasses import replace

import pytest

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.placement import Placement
from rsft_assets.specs.study import load_study
from rsft_assets.steps.processes import hardware
from rsft_assets.steps.processes.hardware import GIB, Capabilities, how_many_at_once, refuse_without_gpu
from rsft_assets_tests.finished_study import tiny_study


@pytest.mark.parametrize(
    ("placement", "processes", "needs_gpu", "cores", "cards", "free", "expected"),
    [
        ({}, 1, False, 2, 0, 64, 2),
        ({}, 2, False, 2, 0, 64, 1),
        ({}, 4, False, 2, 0, 64, 1),
        ({"threads": 4}, 1, False, 16, 0, 64, 4),
        ({"runs": 3}, 1, False, 2, 0, 64, 3),
        ({}, 1, False, 16, 8, 64, 1),
        ({"runs": 8}, 1, True, 16, 8, 64, 8),
        ({"device": "cpu"}, 1, False, 16, 8, 64, 16),
        ({"device": "cpu"}, 1, True, 16, 8, 64, 1),
        ({}, 1, False, 16, 0, 7.6, 5),
        ({}, 2, False, 16, 0, 7.6, 2),
        ({"threads": 4}, 1, False, 16, 0, 4.4, 2),
        ({}, 1, False, 16, 0, 0.5, 1),
        ({"runs": 3}, 1, False, 2, 0, 0.5, 3),
    ],
)
def test_how_many_run_at_once(placement, processes, needs_gpu, cores, cards, free, expected):
    machine = Capabilities(gpus=(("card", 80 << 30),) * cards, cores=cores, memory=int(free * GIB))
    assert how_many_at_once(Placement(**placement), processes, machine, needs_gpu=needs_gpu) == expected


@pytest.mark.parametrize(("parameters", "refused"), [(4_900_000, None), (100_000_000, "about 1.7 GiB of GPU memory")])
def test_a_models_need_of_a_gpu_goes_by_its_size(parameters, refused):
    study = tiny_study()
    study.models["tiny-1m"] = replace(study.models["tiny-1m"], parameters=parameters, needs_gpu=True)
    ref = Ref("checkpoints/tiny-1m", f"{study.runs_of('tiny-1m')[0].name}|5")
    said = None
    try:
        refuse_without_gpu(study, ref, Placement(), Capabilities(cores=2, memory=8 * GIB))
    except StepError as error:
        said = str(error)
    assert said is None if refused is None else refused in said


def test_gpus_that_are_hidden_are_not_there(tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'H100, 81559'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert hardware.gpus.__wrapped__() == (("H100", 81_559 << 20),)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert hardware.gpus.__wrapped__() == ()


def test_visible_gpus_with_memory_in_use_are_named(tmp_path, monkeypatch):
    """`nvidia-smi` is a fake that knows --id."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text(
        '#!/bin/sh\ncase "$*" in *--id=1*) ;; *) echo "H100, 0, 81559, 60000";; esac\n'
        'echo "H100, 1, 81559, 500"\necho "MIG, 2, 81559, [N/A]"\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert hardware.gpus_in_use() == ("GPU 0 (H100, 59 of 80 GiB in use)", "", "")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert hardware.gpus_in_use() == ("", "")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert hardware.gpus_in_use() == ()


def test_gpus_that_cannot_hold_the_weights_are_refused():
    study, there = load_study(), Capabilities(gpus=(("card", 24 * GIB),) * 2, cores=8, memory=64 * GIB)
    ref = Ref("scores/qwen3-14b/math500", f"{study.runs_of('qwen3-14b')[0].name}|0")
    with pytest.raises(StepError, match=r"weights of qwen3-14b take 28 GiB, and 1 GPUs .* have 24 GiB; raise `tensor"):
        refuse_without_gpu(study, ref, Placement(), there)
    refuse_without_gpu(study, ref, Placement(tensor_parallel=2), there)
    refuse_without_gpu(study, ref, Placement(engine="endpoint"), there)


@pytest.mark.parametrize(
    ("group", "files", "left"),
    [
        (
            "0::/job/step",
            {"job/memory.max": 9, "job/memory.current": 6, "job/memory.stat": f"anon 1\ninactive_file {2 * GIB}"},
            5,
        ),
        ("0::/job/step", {"job/step/memory.max": "max", "job/memory.max": "max"}, 64),
        # Seen from a container, the group's own files are at the root.
        (
            "4:cpu,memory:/docker/x",
            {
                "memory/memory.limit_in_bytes": 9,
                "memory/memory.usage_in_bytes": 4,
                "memory/memory.stat": f"total_inactive_file {GIB}",
            },
            6,
        ),
        ("4:cpuset:/job", {"memory/memory.limit_in_bytes": 1}, 64),
    ],
)
def test_free_memory_is_what_a_job_or_container_may_still_have(tmp_path, monkeypatch, group, files, left):
    for name, value in files.items():
        place = tmp_path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{value * GIB if isinstance(value, int) else value}\n")
    of_process = tmp_path / "of_process"
    of_process.write_text(f"1:name=systemd:/\n{group}\n")
    monkeypatch.setattr(hardware, "_GROUPS", tmp_path)
    monkeypatch.setattr(hardware, "_GROUPS_OF_PROCESS", of_process)
    monkeypatch.setattr(hardware, "_available", lambda: 64 * GIB)
    assert hardware.free_memory() == left * GIB
