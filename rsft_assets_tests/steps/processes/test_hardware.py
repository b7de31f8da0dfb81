"""What fits beside each other on a machine."""

from dataclasses import replace

import pytest

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.placement import Placement
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
