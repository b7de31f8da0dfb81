"""A cache of parsed files for later processes.

An entry is valid for one content and one version of the code that parses it.
"""

import contextlib
import hashlib
import importlib.util
import json
import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from rsft_assets.steps.records.manifest import write_json


class KeptReadings:
    """JSON values by file name, stored among Python's compiled files; without that folder nothing is cached."""

    def __init__(self, place: Path, *readers: str) -> None:
        """`readers` are the modules that read."""
        self._place, self._readers = place, readers
        self._changed = False

    def of(self, name: str, content: bytes, read: Callable[[], Any]) -> Any:
        """The result of `read` for this content, from the cache if it is there."""
        digest = hashlib.sha256(content).hexdigest()
        if self._entries.get(name, [None])[0] != digest:
            self._entries[name] = [digest, read()]
            self._changed = True
        return self._entries[name][1]

    def write(self) -> None:
        """Write new entries. Best effort: an installed package may not be writable."""
        if self._changed:
            with contextlib.suppress(OSError):
                write_json(self._place, [self._reader, self._entries])
            self._changed = False

    @cached_property
    def _entries(self) -> dict[str, list[Any]]:
        with contextlib.suppress(OSError, ValueError, TypeError):
            reader, entries = json.loads(self._place.read_text(encoding="utf-8"))
            if reader == self._reader:
                return entries
        return {}

    @cached_property
    def _reader(self) -> str:
        """Stands for the code that reads, its Python included: syntax trees differ between versions."""
        specs = map(importlib.util.find_spec, self._readers)
        facts = [Path(spec.origin).stat() for spec in specs if spec and spec.origin]
        return f"{sys.version} {[(fact.st_size, fact.st_mtime_ns) for fact in facts]}"
