"""Dagster's folder and database: SQLite's files in the folder, or the Postgres server that its `dagster.yaml` names.

Imports nothing of Dagster, which takes seconds to load.
"""

import contextlib
import importlib.util
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from rsft_assets.specs.errors import StepError
from rsft_assets.steps.records.store import Store

_FORM = "postgresql+psycopg2://USER:PASSWORD@HOST:5432/DATABASE"
_CONNECT_SECONDS = "5"
_SAY_AGAIN_SECONDS = 60.0


class Postgres(NamedTuple):
    """A Postgres server: what names it, and where it is."""

    setting: str
    url: str

    @property
    def address(self) -> str:
        """user@host:port/database, without the password; empty for a URL of another form than `_FORM`."""
        return _address(self.url)

    def ask(self) -> None:
        """Connect once; Dagster itself would try for many seconds before it says what is wrong."""
        from sqlalchemy import create_engine

        # A host that does not answer is otherwise waited for for minutes.
        os.environ.setdefault("PGCONNECT_TIMEOUT", _CONNECT_SECONDS)
        engine = create_engine(self.url)
        engine.connect().close()
        engine.dispose()

    @contextlib.contextmanager
    def named_while_away(self) -> Iterator[None]:
        """Have one line a minute say that the server does not answer; Dagster logs four for each attempt."""
        said_at = -_SAY_AGAIN_SECONDS

        def shorten(record: logging.LogRecord) -> bool:
            nonlocal said_at
            if not str(record.msg).startswith("Retrying failed database connection"):
                return True
            record.msg, record.args = f"Dagster's database {self.address} does not answer; trying again", ()
            if time.monotonic() - said_at < _SAY_AGAIN_SECONDS:
                return False
            said_at = time.monotonic()
            return True

        logging.getLogger().addFilter(shorten)
        try:
            yield
        finally:
            logging.getLogger().removeFilter(shorten)


def dagster_folder(store: Store) -> Path:
    """DAGSTER_HOME if it is set, else a folder of the store."""
    named = os.environ.get("DAGSTER_HOME")
    return Path(named).absolute() if named else store.home / "dagster"


def has_database(folder: Path) -> bool:
    """Whether Dagster has recorded something in this folder, or records it elsewhere."""
    return (folder / "history").exists() or "storage" in _settings(folder)


def postgres(folder: Path) -> Postgres | None:
    """The server that `dagster.yaml` names by a URL; a `StepError` where the URL or the package for it is missing."""
    storage = _settings(folder).get("storage")
    if not isinstance(storage, dict) or not isinstance(storage.get("postgres"), dict):
        return None
    if importlib.util.find_spec("dagster_postgres") is None:
        raise StepError(f"{folder}/dagster.yaml names Postgres, which needs: pip install 'rsft_assets[postgres]'")
    named = storage["postgres"].get("postgres_url")
    setting, url = f"postgres_url in {folder}/dagster.yaml", named
    if isinstance(named, dict):
        setting = str(named.get("env"))
        url = os.environ.get(setting, "")
    if not isinstance(url, str):
        return None
    server = Postgres(setting, url)
    if not server.address:
        what = (
            "not the URL of a Postgres database with its driver"
            if url
            else f"not set, and {folder}/dagster.yaml names it"
        )
        raise StepError(f"{setting} is {what}: set it to {_FORM}, with %40 for an @ in the password")
    return server


def _settings(folder: Path) -> dict[str, Any]:
    """What `dagster.yaml` says; Dagster itself names what is wrong with it."""
    with contextlib.suppress(OSError, ValueError, yaml.YAMLError):
        settings = yaml.safe_load((folder / "dagster.yaml").read_text(encoding="utf-8"))
        return settings if isinstance(settings, dict) else {}
    return {}


def _address(url: str) -> str:
    """user@host:port/database of a URL like `_FORM`, else nothing."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        there = make_url(url)
    except (ArgumentError, ValueError):
        return ""
    # SQLAlchemy 2.1 takes another driver than dagster-postgres installs, unless it is named. A password with an @ of
    # its own would show in the host.
    if there.drivername != "postgresql+psycopg2" or "@" in (there.host or ""):
        return ""
    host = there.host or there.query.get("host") or "localhost"
    return f"{there.username or ''}@{host}:{there.port or 5432}/{there.database or ''}"


def database_errors() -> tuple[type[Exception], ...]:
    """What Dagster raises where its database cannot be read or written."""
    from alembic.util.exc import CommandError
    from sqlalchemy.exc import SQLAlchemyError

    errors: tuple[type[Exception], ...] = (SQLAlchemyError, CommandError, sqlite3.Error)
    with contextlib.suppress(ImportError):
        from dagster_postgres.utils import DagsterPostgresException

        errors = (*errors, DagsterPostgresException)
    return errors


def database_words(error: BaseException) -> str:
    """What to do about a database of Dagster's that cannot be read or written."""
    folder = Path(os.environ["DAGSTER_HOME"])
    # Dagster's own words for a server that is down are "too many retries".
    while error.__cause__ is not None:
        error = error.__cause__
    cause = str(error).strip().partition("\n")[0]
    if server := postgres(folder):
        return (
            f"Dagster's database {server.address} cannot be used ({cause}). Start the server or correct "
            f"{server.setting}, then run the command again: finished outputs are kept, and it records them, as does "
            "`rsft doctor --sync`"
        )
    files = folder / "history" / "runs.db"
    if files.exists() and not os.access(files, os.W_OK):
        return (
            f"Dagster's database in {folder} cannot be written, since {files} belongs to another user: set "
            "DAGSTER_HOME to a folder of your own, or keep the records on Postgres"
        )
    return (
        f"Dagster's database in {folder} cannot be used ({cause}). If the disk is full, free some space; else delete "
        "that folder: it holds no outputs, and `rsft doctor --sync` records them again"
    )
