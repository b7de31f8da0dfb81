"""`results.duckdb`: its place, its publication, and the account of its build.

A database is made aside and renamed into place, read-only, so that a reader never blocks the pipeline nor
the pipeline a reader. Beside it stands `results.json`, the build's own account, which needs no DuckDB.
"""

import dataclasses
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.fingerprint import fingerprint
from rsft_assets.steps.records.checked import signs
from rsft_assets.steps.records.digest import bytes_digest
from rsft_assets.steps.records.manifest import read_json, write_json
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.results.record_tables import INPUTS_DDL, OUTPUTS_DDL, RECORD_TABLES

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

log = logging.getLogger(__name__)
DATABASE, ACCOUNT, ASIDE = "results.duckdb", "results.json", ".results.building.duckdb"
BUILD_VERSION = 3
"""Raised when an earlier version could not read what is published, or build on it."""
_REMEDY = "update rsft_assets, or build it again from the files with this version: rsft materialize 'results/*'"


@dataclass(frozen=True, kw_only=True)
class BuiltTable:
    """The account of one table."""

    schema: str
    name: str
    state: str
    """built, extended (new rows added), kept (nothing it reads has changed), failed or skipped."""
    rows: int | None = None
    digest: str = ""
    """Hash of the SQL and of what it read: Dagster's data version."""
    columns: dict[str, str] = field(default_factory=dict)
    """Name -> DuckDB type."""
    lineage: dict[str, list[list[str]]] = field(default_factory=dict)
    """Column -> [[schema.table, column], …] that it is made from."""
    problem: str | None = None
    seconds: float = 0.0

    @property
    def key(self) -> str:
        return f"results/{self.schema}/{self.name}"


@dataclass(frozen=True, kw_only=True)
class TestResult:
    """What a build says of one test: the rows it returned, which should be none."""

    __test__ = False
    name: str
    state: str
    """passed, failed, warned, or skipped where a table that it reads is missing."""
    description: str = ""
    reads: tuple[str, ...] = ()
    rows: int | None = None
    sample: str = ""
    problem: str | None = None
    digest: str = ""
    """Of the test and of what it read: the same digest means the same finding."""


@dataclass(frozen=True, kw_only=True)
class Results:
    """One build: its tables, tests, and what was wrong with the files."""

    database: str
    tables: tuple[BuiltTable, ...]
    tests: tuple[TestResult, ...]
    problems: tuple[tuple[str, str], ...]
    outputs: int
    seconds: float
    build_id: str
    version: int = BUILD_VERSION
    """Format of the database and of this account."""
    file: tuple[str | int, ...] = ()
    """Digest of the published database, and what the file system said of it then: see `records/checked.py`."""

    def table(self, name: str) -> BuiltTable:
        """One table by `schema.table`; a `StepError` where the build holds none."""
        for entry in self.tables:
            if f"{entry.schema}.{entry.name}" == name:
                return entry
        raise StepError(f"{self.database} holds no table {name}; build the results again: rsft materialize results")

    @property
    def failures(self) -> tuple[str, ...]:
        """A message for every table that could not be built and every test that failed."""
        tables = [f"results/{t.schema}/{t.name}: {t.problem}" for t in self.tables if t.state in ("failed", "skipped")]
        tests = [
            f"test {t.name}: {t.problem or f'{t.rows} rows, such as {t.sample}'}"
            for t in self.tests
            if t.state == "failed"
        ]
        return (*tables, *tests)


def database_path(store: Store) -> Path:
    return store.home / DATABASE


def read_results(store: Store) -> Results | None:
    """The account of the last build, None where there is none yet."""
    path = store.home / ACCOUNT
    try:
        data = read_json(path, "account of a build")
        if data.get("version", 1) > BUILD_VERSION:
            raise StepError(f"{path} was written by a newer version of rsft_assets; {_REMEDY}")
        data["file"] = tuple(data.get("file", ()))
        data["tables"] = tuple(BuiltTable(**entry) for entry in data["tables"])
        data["tests"] = tuple(TestResult(**{**entry, "reads": tuple(entry["reads"])}) for entry in data["tests"])
        data["problems"] = tuple((place, problem) for place, problem in data["problems"])
        return Results(**data)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StepError(f"{path}: damaged ({error}); build the results again: rsft materialize results") from error


@contextmanager
def open_results(store: Store) -> "Iterator[DuckDBPyConnection]":
    """The published database, read-only; a `StepError` says how to make it where it is not there."""
    import duckdb

    path = database_path(store)
    if not path.is_file():
        raise StepError(f"{path} does not exist yet; build it: rsft materialize results")
    try:
        db = duckdb.connect(str(path), read_only=True)
    except duckdb.Error as error:
        cause = str(error).splitlines()[0]
        raise StepError(f"{path} cannot be opened ({cause}); {_REMEDY}") from error
    try:
        if _is_newer(db):
            raise StepError(f"{path} was written by a newer version of rsft_assets; {_REMEDY}")
        yield db
    except (duckdb.IOException, duckdb.FatalException, duckdb.InternalException) as error:
        # DuckDB checks every block that it reads.
        cause = str(error).splitlines()[0]
        raise StepError(f"{path} is damaged ({cause}); build it again: rsft materialize 'results/*'") from error
    finally:
        db.close()


@contextmanager
def database_aside(store: Store, *, anew: bool, memory: str) -> "Iterator[DuckDBPyConnection]":
    """A database to write into: a copy of the published one where a build can go on from it, else empty."""
    import duckdb

    aside, scratch = store.home / ASIDE, store.home / ".results.scratch"
    clear_aside(store)
    if not anew and database_path(store).is_file():
        if problem := _damage(store):
            log.warning("%s %s; building anew", database_path(store), problem)
        else:
            shutil.copyfile(database_path(store), aside)
    config: dict[str, Any] = {"memory_limit": memory, "temp_directory": str(scratch)}
    try:
        db = duckdb.connect(str(aside), config=config)
        if not anew and not _can_go_on(db):
            if _is_newer(db):
                log.warning("%s was written by a newer version of rsft_assets; building anew", database_path(store))
            db.close()
            clear_aside(store)
            db = duckdb.connect(str(aside), config=config)
    except duckdb.Error as error:
        log.warning("the published database cannot be read (%s); building anew", str(error).splitlines()[0])
        clear_aside(store)
        db = duckdb.connect(str(aside), config=config)
    try:
        yield db
    finally:
        db.close()
        shutil.rmtree(scratch, ignore_errors=True)


def _damage(store: Store) -> str | None:
    """What is wrong with the published database, in words; read whole only where the file system says it changed."""
    try:
        results = read_results(store)
    except StepError as error:
        return f"cannot be checked ({error})"
    if results is None or not results.file:
        return "has no digest to check it by"
    digest, *known = results.file
    if known == [*signs(database_path(store))] or bytes_digest(database_path(store)) == digest:
        return None
    return "has changed since it was published (digest differs)"


def insert(db: "DuckDBPyConnection", table: str, rows: list[dict[str, Any]]) -> None:
    """Add rows to a table, all at once: DuckDB's executemany takes a millisecond a row."""
    import pyarrow as pa

    if rows:
        db.register("fresh_rows", pa.Table.from_pylist(rows))
        db.execute(f"INSERT INTO {table} BY NAME FROM fresh_rows")
        db.unregister("fresh_rows")


def clear_aside(store: Store) -> None:
    for name in (ASIDE, f"{ASIDE}.wal"):
        (store.home / name).unlink(missing_ok=True)


def _can_go_on(db: "DuckDBPyConnection") -> bool:
    import duckdb

    try:
        facts = dict(db.execute("SELECT key, value FROM build.facts").fetchall())
    except duckdb.Error:
        return not db.execute("SELECT 1 FROM duckdb_tables() LIMIT 1").fetchall()
    return facts.get("version") == format_version()


def _is_newer(db: "DuckDBPyConnection") -> bool:
    """Whether a later version of this product wrote the database."""
    import duckdb

    try:
        rows = db.execute("SELECT value FROM build.facts WHERE key = 'version'").fetchall()
    except duckdb.Error:
        return False
    return bool(rows) and int(rows[0][0].split()[0]) > BUILD_VERSION


def format_version() -> str:
    """What a database must have been made with for a build to go on from it."""
    import duckdb

    shape = fingerprint([OUTPUTS_DDL, INPUTS_DDL, *(table.ddl for table in RECORD_TABLES)])
    return f"{BUILD_VERSION} {duckdb.__version__} {shape[:12]}"


def publish(store: Store, results: Results) -> None:
    """Rename the finished database into place, read-only, and write the account beside it."""
    aside, place = store.home / ASIDE, database_path(store)
    aside.chmod(0o444)
    digest = bytes_digest(aside)
    with aside.open("rb") as file:
        os.fsync(file.fileno())
    _set_wal_aside(place)
    aside.replace(place)
    # A reader that is killed between the two lines above leaves one more.
    _set_wal_aside(place)
    results = dataclasses.replace(results, file=(digest, *signs(place)))
    write_json(store.home / ACCOUNT, dataclasses.asdict(results))


def _set_wal_aside(place: Path) -> None:
    wal = place.with_name(place.name + ".wal")
    if wal.exists():
        old = wal.with_name(f".{wal.name}.stale-{time.time_ns()}")
        wal.rename(old)
        log.warning("%s was left by a process that opened the database for writing; moved to %s", wal, old.name)
