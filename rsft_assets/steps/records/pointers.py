"""Every place in a home where one of several outputs is in use, and which one."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import TABLE_OF
from rsft_assets.steps.records.manifest import FILE_NAME, POINTER
from rsft_assets.steps.records.output import Output

_PARTS = (*TABLE_OF, "figures", "report")
"""Stages whose outputs are named by a pointer; completions are named by the scores that were graded from them."""


def pointers(home: Path, parts: Iterable[str] = _PARTS) -> Iterator[Path]:
    """Where every pointer is or ought to be, below stages or assets."""
    for part in parts:
        for folder, below, files in os.walk(home / part):
            below[:] = sorted(name for name in below if not name.startswith("."))
            # A folder in place of the pointer is damage, to be named as such.
            if POINTER in (*files, *below) or any(Path(folder, name, FILE_NAME).is_file() for name in below):
                below.clear()
                yield Path(folder, POINTER)


def outputs_in_use(home: Path, parts: Iterable[str] = _PARTS) -> Iterator[tuple[Path, Output | str]]:
    """Every pointer with the output that it names, or with why there is none to read."""
    for pointer in pointers(home, parts):
        yield pointer, output_in_use(pointer)


def output_in_use(pointer: Path) -> Output | str:
    """The output that a pointer names, or why there is none to read."""
    try:
        if pointer.exists():
            return Output.pointed_at(pointer)
    except (StepError, OSError) as error:
        return str(error)
    # A process was killed just then, or the pointer was lost.
    return f"{pointer} is gone, so no output beside it is in use; materialize it again"
