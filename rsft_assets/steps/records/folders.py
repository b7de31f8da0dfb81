"""Folders of work in progress, and how one vanishes as a whole."""

import shutil
from pathlib import Path

RESUME = ".resume"
"""Beside a training's checkpoints, or a base model: what a killed training goes on from."""


def discard(folder: Path) -> None:
    """Delete a folder so that no kill leaves half of it under its name."""
    aside = folder.with_name(f".writing-{folder.name}")
    shutil.rmtree(aside, ignore_errors=True)
    folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)
