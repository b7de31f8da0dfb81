"""What several processes of pytest-xdist need, made by the first that asks."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rsft_assets.steps.records.locks import exclusive


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder of this name that `make` fills, one for all processes; to be read only."""
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder, done = root / "made-once" / name, root / "made-once" / f"{name}.done"
    with exclusive(done.with_suffix(".lock"), name):
        if not done.exists():
            folder.mkdir()
            make(folder)
            done.touch()
    return folder
