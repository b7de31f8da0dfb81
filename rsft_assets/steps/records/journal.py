"""An append-only file of rows, from which a killed step resumes.

    journal = Journal(build.folder / ".responses.jsonl", key="response_id")     # reads what is there
    journal.append(rows); journal.flush()                                      # durable from here on
    for key in order: row = journal[key]                                       # by key, from disk

Only keys and offsets are held in memory. An incomplete last line, left by a kill, is cut off.
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rsft_assets.steps.processes.closing import Closing


class Journal(Closing):
    """Rows by key, in one JSON-lines file; a key that is there is not added again. A context manager."""

    def __init__(self, path: Path, key: str) -> None:
        self._key = key
        self._offsets: dict[str, int] = {}
        self._file = path.open("a+b")
        self._end = self._recover()

    def __contains__(self, key: str) -> bool:
        return key in self._offsets

    def __len__(self) -> int:
        return len(self._offsets)

    def __iter__(self) -> Iterator[str]:
        return iter(self._offsets)

    def __getitem__(self, key: str) -> dict[str, Any]:
        self._file.seek(self._offsets[key])
        row: dict[str, Any] = json.loads(self._file.readline())
        return row

    def append(self, rows: Iterable[dict[str, Any]]) -> int:
        """Add rows whose key is new; how many that were. Readable at once, durable after `flush`."""
        added = 0
        for row in rows:
            if row[self._key] not in self._offsets:
                line = json.dumps(row).encode() + b"\n"
                self._file.write(line)
                self._offsets[row[self._key]] = self._end
                self._end += len(line)
                added += 1
        self._file.flush()
        return added

    def keep_whole(self, keys: Sequence[str], engine: str) -> None:
        """Forget the rows of all these keys unless each is there and from this engine; appended anew, the later row
        counts.
        """
        if not all(key in self._offsets and self[key].get("engine") == engine for key in keys):
            for key in keys:
                self._offsets.pop(key, None)

    def flush(self) -> None:
        """Make everything that was appended survive a power cut."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    def _recover(self) -> int:
        """Index what is there; a line that was not finished, or cannot be read, is cut off with what follows."""
        self._file.seek(0)
        good = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            try:
                key = json.loads(line)[self._key]
            except (ValueError, KeyError, TypeError):
                break
            self._offsets[key] = good
            good += len(line)
        self._file.seek(0, os.SEEK_END)
        if self._file.tell() != good:
            self._file.truncate(good)
        return good
