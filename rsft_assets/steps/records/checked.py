"""Files whose content was checked are not read again until the file system reports a change.

`.checked.json` beside a manifest: for each file its digest and what the file system says of it (size, times of
writing and of change, inode). Whatever writes to a file changes one of these; a copied home is read anew.
What changes without a write, such as a failing disk, is for `rsft doctor --content`, which reads everything.
"""

import contextlib
import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rsft_assets.steps.records.digest import file_digest
from rsft_assets.steps.records.manifest import FileRecord, write_json

FILE_NAME = ".checked.json"
_YOUNG_SECONDS = 2.0
_State = dict[str, list[str | int]]


def content_damage(folder: Path, files: Sequence[FileRecord], *, again: bool) -> str | None:
    """What differs from the digests, in words; files that were right are read only `again` or where they changed."""
    try:
        before = _state(folder, files)
    except OSError as error:
        return f"{error.filename} cannot be read ({error.strerror})"
    if not again and _known(folder).items() >= before.items():
        return None
    problem = difference(folder, files)
    if problem is None:
        _remember(folder, files, before)
    return problem


def difference(folder: Path, files: Iterable[FileRecord]) -> str | None:
    """The first of these files whose content differs from its digest, in words."""
    for record in files:
        path = folder / record.path
        try:
            digest, _ = file_digest(path)
        except (OSError, ValueError) as error:
            return f"{path} cannot be read ({error})"
        if digest != record.digest:
            return f"{path} has changed since it was made (content digest differs)"
    return None


def _state(folder: Path, files: Sequence[FileRecord]) -> _State:
    return {record.path: [record.digest, *signs(folder / record.path)] for record in files}


def _known(folder: Path) -> dict[str, Any]:
    """What was found right earlier."""
    try:
        entries = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return entries if isinstance(entries, dict) else {}


def _remember(folder: Path, files: Sequence[FileRecord], before: _State) -> None:
    newest = max(((folder / record.path).stat().st_ctime for record in files), default=0.0)
    # A file system's clock is coarse: a second write could hide in the moment of the first.
    if time.time() - newest < _YOUNG_SECONDS or _state(folder, files) != before:
        return
    # A home may be there to be read only.
    with contextlib.suppress(OSError):
        write_json(folder / FILE_NAME, {**_known(folder), **before})


def signs(path: Path) -> tuple[int, ...]:
    """What the file system says of a file: whatever writes to it changes one of these."""
    stat = path.stat()
    return (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
