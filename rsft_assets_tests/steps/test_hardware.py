"""What fits beside each other on a machine."""

import pytest

from rsft_assets.specs.placement import Placement
from rsft_assets.steps import hardware


@pytest.mark.parametrize(
    ("placement", "processes", "needs_gpu", "cores", "cards", "expected"),
    [
        ({}, 1, False, 2, 0, 2),
        ({}, 2, False, 2, 0, 1),
        ({}, 4, False, 2, 0, 1),
        ({"threads": 4}, 1, False, 16, 0, 4),
        ({"runs": 3}, 1, False, 2, 0, 3),
        ({}, 1, False, 16, 8, 1),
        ({"runs": 8}, 1, True, 16, 8, 8),
        ({"device": "cpu"}, 1, False, 16, 8, 16),
        ({"device": "cpu"}, 1, True, 16, 8, 1),
    ],
)
def test_how_much_runs_side_by_side(monkeypatch, placement, processes, needs_gpu, cores, cards, expected):
    monkeypatch.setattr(hardware, "cores", lambda: cores)
    monkeypatch.setattr(hardware, "gpus", lambda: (("card", 80 << 30),) * cards)
    assert hardware.side_by_side(Placement(**placement), processes, needs_gpu=needs_gpu) == expected
