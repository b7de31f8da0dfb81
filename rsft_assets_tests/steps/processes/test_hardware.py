"""What fits beside each other on a machine."""

import pytest

from rsft_assets.specs.placement import Placement
from rsft_assets.steps.processes.hardware import GIB, Capabilities, how_many_at_once


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
