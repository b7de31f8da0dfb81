"""Private names of Dagster that the package uses. No other module imports any.

A patch of Dagster may change them. `rsft_assets_tests/defs/test_dagster_private.py` fails when one of them is gone or
changes its behaviour, and CI runs it on the newest patch.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dagster._check import CheckError as CheckError
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData as AssetCheckEvaluationTargetMaterializationData,
)
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph as AssetGraph
from dagster._core.definitions.data_version import DEFAULT_DATA_VERSION as DEFAULT_DATA_VERSION
from dagster._core.definitions.data_version import NULL_DATA_VERSION as NULL_DATA_VERSION
from dagster._core.definitions.data_version import NULL_EVENT_POINTER as NULL_EVENT_POINTER
from dagster._core.definitions.source_asset import (
    SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION as SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION,
)
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES as NOT_FINISHED_STATUSES

_ENGINES_KEPT = 8


def keep_sqlite_engines() -> None:
    """From now on this process keeps one database engine for each file of Dagster's event log on SQLite.

    Dagster makes a new engine for every event, which opens the file and compiles all statements again.
    """
    from dagster._core.storage.event_log.sqlite import sqlite_event_log

    log: Any = sqlite_event_log
    if not isinstance(log.create_engine, _KeptEngines):
        log.create_engine = _KeptEngines(log.create_engine)


class _KeptEngines:
    """SQLAlchemy's `create_engine`, for files that are asked for again and again."""

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make, self._lock = make, threading.Lock()
        self._kept: dict[str, tuple[Any, Callable[[], None], int]] = {}
        """Engines with what really ends them and their file's inode, the least recently used first."""

    def __call__(self, url: str, **options: Any) -> Any:
        with self._lock:
            kept, now = self._kept.pop(url, None), _inode(url)
            if kept is not None and kept[2] not in (0, now):
                # The file was deleted, and perhaps made anew.
                kept[1]()
                kept = None
            if kept is not None:
                engine, end, _ = kept
            else:
                # Instead of a pool that keeps no connection.
                engine = self._make(url, **{name: value for name, value in options.items() if name != "poolclass"})
                end, engine.dispose = engine.dispose, lambda *_, **__: None
            self._kept[url] = engine, end, now
            if len(self._kept) > _ENGINES_KEPT:
                self._kept.pop(next(iter(self._kept)))[1]()
            return engine


def _inode(url: str) -> int:
    """0 where there is no file yet."""
    try:
        return Path(url.removeprefix("sqlite:///")).stat().st_ino
    except OSError:
        return 0
