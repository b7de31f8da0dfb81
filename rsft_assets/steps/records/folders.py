"""Folders of work in progress, and their atomic deletion."""

import shutil
from pathlib import Path

RESUME = ".resume"
"""In the folder of a run or of a base model: the state from which a killed training resumes."""


def discard(folder: Path) -> None:
    """Delete a folder; a kill meanwhile never leaves half of it under its name."""
    aside = folder.with_name(f".writing-{folder.name}")
    shutil.rmtree(aside, ignore_errors=True)
    folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)
