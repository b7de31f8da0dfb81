"""Run the SQL folder against a database: only what changed, upstream first. A failure stops only its downstream.

A table whose SQL and inputs have the digests of last time is kept. One marked `incremental` gets the rows
of new outputs only. Where a query is broken, its table is left out, and so is what reads it; all others
are built.
"""

import dataclasses
import hashlib
import json
import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

import rsft_assets
from rsft_assets.steps.records.kept_readings import KeptReadings
from rsft_assets.steps.results.publishing import BuiltTable, TestResult
from rsft_assets.steps.results.sql_files import SEEDS, VIEWS, SqlTable, missing_table

log = logging.getLogger(__name__)
kept_lineages = KeptReadings(
    Path(rsft_assets.__file__).parent / "__pycache__" / "rsft_lineage.json",
    __name__,
    "rsft_assets.steps.results.column_lineage",
    "sqlglot",
)
"""Column lineage of each table, which takes longer to resolve than most tables to make."""


@dataclass
class Workbench:
    """A database being built, and what is known of it so far."""

    db: DuckDBPyConnection
    digests: dict[str, str]
    """`schema.table` -> what it was made from, of every table that stands."""
    before: Mapping[str, BuiltTable]
    """Tables of the database that this build goes on from."""
    new_outputs: frozenset[int]
    macros: str = ""
    """Definitions of the macros that the SQL may call."""
    names: frozenset[str] = frozenset()
    """Every table that this build makes, for hints in error messages."""
    failed: dict[str, str] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    schemas: dict[str, dict[str, str]] = field(default_factory=dict)

    def columns(self, table: str) -> dict[str, str]:
        if table not in self.schemas:
            rows = self.db.execute(
                "SELECT column_name, data_type FROM duckdb_columns() "
                "WHERE schema_name || '.' || table_name = ? ORDER BY column_index",
                [table],
            ).fetchall()
            self.schemas[table] = dict(rows)
        return self.schemas[table]


def build_table(bench: Workbench, entry: SqlTable) -> BuiltTable:
    """Make one table, or keep it; a failure is a state with words, not an exception."""
    started = time.perf_counter()
    if problem := _cannot(bench, entry):
        return _without(bench, entry, *problem)
    digest = _digest(bench, entry)
    before = bench.before.get(entry.table)
    if before and before.digest == digest and bench.columns(entry.table):
        bench.digests[entry.table] = digest
        return _said(bench, entry, "kept", digest, started, before.lineage)
    try:
        state = _make(bench, entry, before)
    except duckdb.Error as error:
        return _without(bench, entry, "failed", duckdb_words(entry, error))
    bench.digests[entry.table] = digest
    bench.schemas.pop(entry.table, None)
    return _said(bench, entry, state, digest, started, _lineage(bench, entry))


def _cannot(bench: Workbench, entry: SqlTable) -> tuple[str, str] | None:
    if entry.problem:
        return "failed", entry.problem
    for name in entry.reads:
        if name in bench.failed:
            return "skipped", f"it reads {name}, which could not be built"
    problem = missing_table(entry, set(bench.digests), bench.names)
    return ("failed", problem) if problem else None


def _without(bench: Workbench, entry: SqlTable, state: str, problem: str) -> BuiltTable:
    """Drop the table: numbers of an earlier SQL would be worse than none."""
    bench.db.execute(f"CREATE SCHEMA IF NOT EXISTS {entry.schema}")
    drop(bench.db, entry.table)
    bench.failed[entry.table] = problem
    bench.schemas.pop(entry.table, None)
    log.error("results/%s/%s: %s", entry.schema, entry.name, problem)
    return BuiltTable(schema=entry.schema, name=entry.name, state=state, problem=problem)


def drop(db: DuckDBPyConnection, table: str) -> None:
    """Drop a table or a view of the SQL folder, if it is there."""
    db.execute(f"DROP {_sort_of(table)} IF EXISTS {table}")


def _sort_of(table: str) -> str:
    return "VIEW" if table.startswith(f"{VIEWS}.") else "TABLE"


def _digest(bench: Workbench, entry: SqlTable) -> str:
    """Of the SQL without its comments, of the macros, and of what each table it reads was made from."""
    code = "\n".join(line for line in entry.text.splitlines() if not line.lstrip().startswith(("--", "#")))
    made_from = [[name, bench.digests[name]] for name in entry.reads]
    return hashlib.sha256(json.dumps([code.strip(), bench.macros, made_from]).encode()).hexdigest()


def _make(bench: Workbench, entry: SqlTable, before: BuiltTable | None) -> str:
    db = bench.db
    db.execute(f"CREATE SCHEMA IF NOT EXISTS {entry.schema}")
    if entry.schema == SEEDS:
        db.execute(
            f"CREATE OR REPLACE TABLE {entry.table} AS FROM read_csv(?, header = true, comment = '#')",
            [str(entry.path)],
        )
        return "built"
    query = entry.text.strip().rstrip(";")
    if before and _can_extend(bench, entry):
        state = _extend(bench, entry, query)
    else:
        state = "built"
        # On the file's first line, so that the lines that DuckDB names are the file's own.
        db.execute(f"CREATE OR REPLACE {_sort_of(entry.table)} {entry.table} AS {query}")
    _note_code(bench, entry)
    return state


def _extend(bench: Workbench, entry: SqlTable, query: str) -> str:
    """Drop the rows of what is gone and add those of what is new."""
    keys, _, driver = (entry.incremental or "").partition(" among ")
    if driver:
        return _extend_among(bench, entry, query, keys, driver)
    sound = "SELECT output_id FROM records.outputs WHERE damage IS NULL"
    bench.db.execute(f"DELETE FROM {entry.table} WHERE {keys} NOT IN ({sound})")
    if bench.new_outputs:
        bench.db.execute(f"INSERT INTO {entry.table} {_only(query, keys, sorted(bench.new_outputs))}")
    return "extended"


def _extend_among(bench: Workbench, entry: SqlTable, query: str, keys: str, driver: str) -> str:
    """One set of rows for each key of another table: the keys that are new, less those that have left."""
    db = bench.db
    db.execute(f"CREATE OR REPLACE TEMP TABLE wanted AS SELECT DISTINCT {keys} FROM {driver}")
    db.execute(f"DELETE FROM {entry.table} WHERE ({keys}) NOT IN (SELECT ({keys}) FROM wanted)")
    db.execute(f"DELETE FROM wanted WHERE ({keys}) IN (SELECT ({keys}) FROM {entry.table})")
    narrowed = query
    for column in (name.strip() for name in keys.split(",")):
        new = [row[0] for row in db.execute(f"SELECT DISTINCT {column} FROM wanted").fetchall()]
        if not new:
            return "extended"
        narrowed = _only(narrowed, column, new)
    db.execute(f"INSERT INTO {entry.table} FROM ({narrowed}) WHERE ({keys}) IN (SELECT ({keys}) FROM wanted)")
    return "extended"


def _only(query: str, column: str, ids: list[int]) -> str:
    """A query with one column held to some values: literals, which DuckDB pushes below its GROUP BY."""
    return f"SELECT * FROM (\n{query}\n) WHERE {column} IN ({', '.join(map(str, ids))})"


def _code(entry: SqlTable) -> str:
    return hashlib.sha256(entry.text.encode()).hexdigest()


def _can_extend(bench: Workbench, entry: SqlTable) -> bool:
    """The same SQL as last time, over records and tables that only grew, all else it reads unchanged."""
    if not entry.incremental or not bench.columns(entry.table):
        return False
    rows = bench.db.execute("SELECT code FROM build.incremental WHERE name = ?", [entry.table]).fetchall()
    if not rows or rows[0][0] != _code(entry):
        return False
    _, _, driver = entry.incremental.partition(" among ")
    return all(
        name == driver
        or name.startswith("records.")
        or bench.states.get(name) in ("extended", "kept")
        or (name in bench.before and bench.before[name].digest == bench.digests[name])
        for name in entry.reads
    )


def _note_code(bench: Workbench, entry: SqlTable) -> None:
    if entry.incremental:
        bench.db.execute("DELETE FROM build.incremental WHERE name = ?", [entry.table])
        bench.db.execute("INSERT INTO build.incremental VALUES (?, ?)", [entry.table, _code(entry)])


def _said(
    bench: Workbench, entry: SqlTable, state: str, digest: str, started: float, lineage: dict[str, list[list[str]]]
) -> BuiltTable:
    # To count the rows of a view is to run its query.
    count = None if entry.schema == VIEWS else f"SELECT count(*) FROM {entry.table}"
    rows = bench.db.execute(count).fetchall()[0][0] if count else None
    bench.states[entry.table] = state
    return BuiltTable(
        schema=entry.schema,
        name=entry.name,
        state=state,
        rows=rows,
        digest=digest,
        columns=bench.columns(entry.table),
        lineage=lineage,
        seconds=round(time.perf_counter() - started, 3),
    )


def _lineage(bench: Workbench, entry: SqlTable) -> dict[str, list[list[str]]]:
    """Column -> the columns that it is made from, which only the SQL and the columns of what it reads decide."""
    if entry.schema == SEEDS:
        return {}
    columns = {name: bench.columns(name) for name in entry.reads}
    lineage: dict[str, list[list[str]]] = kept_lineages.of(
        entry.table, json.dumps([entry.text, columns]).encode(), lambda: _resolved(entry, columns)
    )
    return lineage


def _resolved(entry: SqlTable, columns: Mapping[str, Mapping[str, str]]) -> dict[str, list[list[str]]]:
    # Not at the top: a build in which no SQL changed needs no sqlglot.
    from sqlglot.errors import SqlglotError

    from rsft_assets.steps.results.column_lineage import column_lineage

    try:
        lineage = column_lineage(entry.text, columns)
    except SqlglotError as error:
        # DuckDB ran it, so the table stands; only its column lineage is unknown.
        log.warning("%s: no column lineage: %s", entry.path, str(error).splitlines()[0])
        return {}
    return {column: [list(origin) for origin in origins] for column, origins in lineage.items()}


def duckdb_words(entry: SqlTable, error: Exception) -> str:
    """File, line and cause of a query that DuckDB refused."""
    lines = str(error).splitlines()
    at = re.search(r"^LINE (\d+):", str(error), re.MULTILINE)
    cause = " ".join(line.strip() for line in lines[: next((i for i, x in enumerate(lines) if not x.strip()), 1)])
    return f"{entry.path}: {f'line {at[1]}: ' if at else ''}{cause}"


def run_test(bench: Workbench, entry: SqlTable, before: TestResult | None = None) -> TestResult:
    """Run one test: any row it returns is a finding. What was found `before` stands where nothing has changed."""
    said = TestResult(name=entry.name, description=entry.description, reads=entry.reads, state="passed", rows=0)
    if problem := _cannot(bench, entry):
        return dataclasses.replace(said, state=problem[0], problem=problem[1], rows=None)
    said = dataclasses.replace(said, digest=_digest(bench, entry))
    if before is not None and before.digest == said.digest:
        return before
    try:
        cursor = bench.db.execute(entry.text.strip().rstrip(";"))
        names = [column[0] for column in cursor.description]
        rows = cursor.fetchall()
    except duckdb.Error as error:
        return dataclasses.replace(said, state="failed", problem=duckdb_words(entry, error), rows=None)
    if not rows:
        return said
    sample = ", ".join(f"{name}={value}" for name, value in zip(names, rows[0], strict=True))
    state = "warned" if entry.severity == "warn" else "failed"
    log.log(
        logging.WARNING if state == "warned" else logging.ERROR,
        "test %s: %d rows, such as %s",
        entry.name,
        len(rows),
        sample,
    )
    return dataclasses.replace(said, state=state, rows=len(rows), sample=sample[:500])


def build_id(built: tuple[BuiltTable, ...]) -> str:
    """One name for what all tables were made from."""
    return hashlib.sha256(json.dumps(sorted([t.key, t.digest] for t in built)).encode()).hexdigest()[:12]
