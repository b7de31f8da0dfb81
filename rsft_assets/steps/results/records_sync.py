"""Bring `records.*` of a database up to date with the files: drop what is gone, load what is new.

Outputs are immutable, so one that was loaded is never read again. A Parquet file that differs from its digest, or
cannot be read, is named in `records.problems`, and its output counts as damaged; every other file is loaded.
"""

import hashlib
import json
import logging
from collections.abc import Iterable

import duckdb
from duckdb import DuckDBPyConnection

from rsft_assets.steps.processes.events import Progress
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.results.outputs_found import Found, find_outputs, output_id, ref_parts
from rsft_assets.steps.results.publishing import insert
from rsft_assets.steps.results.record_tables import (
    INPUTS_DDL,
    OUTPUTS_DDL,
    PROBLEMS_DDL,
    RECORD_TABLES,
    RecordTable,
)

log = logging.getLogger(__name__)
_FILES_AT_ONCE = 256


def create_record_tables(db: DuckDBPyConnection) -> None:
    """Empty tables of every kind, for a new database."""
    db.execute("CREATE SCHEMA records")
    for ddl in (OUTPUTS_DDL, INPUTS_DDL, PROBLEMS_DDL, *(table.ddl for table in RECORD_TABLES)):
        db.execute(ddl)


def sync_records(db: DuckDBPyConnection, store: Store) -> tuple[dict[str, str], frozenset[int]]:
    """(digest of each `records.*` table, ids of the outputs whose rows are new)."""
    outputs, problems = find_outputs(store)
    known = {row[0] for row in db.execute("SELECT output_id FROM records.outputs WHERE damage IS NULL").fetchall()}
    latest = _latest(outputs)
    work = []
    for table in RECORD_TABLES:
        wanted = {one.id: one for one in outputs if _has(one, table, latest)}
        held = {row[0] for row in db.execute(f"SELECT DISTINCT output_id FROM {table.table}").fetchall()}
        _delete(db, table.table, sorted(held - wanted.keys()))
        new = [one for id_, one in wanted.items() if id_ not in held]
        work.append((table, {str(one.output.folder / table.file): one for one in new}))
    progress = Progress("records", sum(len(files) for _, files in work), "files")
    for table, files in work:
        for path, problem in _load(db, table, files, progress):
            files[path].damage = problem
            problems.append((files[path].place, problem))
    damaged = sorted(one.id for one in outputs if one.damage)
    for table in RECORD_TABLES:
        _delete(db, table.table, damaged)
    _write_outputs(db, outputs, problems)
    return _digests(outputs, latest), frozenset(one.id for one in outputs if one.id not in known and not one.damage)


def _latest(outputs: list[Found]) -> set[int]:
    """Of each run the checkpoint with the most steps: its curves and seen rows hold those of all before it."""
    last: dict[str, Found] = {}
    for one in outputs:
        ref = one.output.manifest.ref
        if one.stage == "checkpoints" and not one.damage and ref.step:
            other = last.get(ref.run)
            if other is None or other.output.manifest.ref.step < ref.step:
                last[ref.run] = one
    return {one.id for one in last.values()}


def _has(one: Found, table: RecordTable, latest: set[int]) -> bool:
    if one.stage != table.stage or one.damage or (table.cumulative and one.id not in latest):
        return False
    return any(record.path == table.file for record in one.output.manifest.files)


def _delete(db: DuckDBPyConnection, table: str, ids: list[int]) -> None:
    if ids:
        db.execute(f"DELETE FROM {table} WHERE output_id IN ({', '.join(map(str, ids))})")


def _load(
    db: DuckDBPyConnection, table: RecordTable, files: dict[str, Found], progress: Progress
) -> list[tuple[str, str]]:
    """Load files in bulk, each checked before; where a batch fails, halve it until the bad file stands alone."""
    bad = [(path, problem) for path, one in files.items() if (problem := one.output.changed([table.file]))]
    paths = [path for path in files if path not in dict(bad)]
    progress.step(len(bad), table.kind)
    waiting = [paths[i : i + _FILES_AT_ONCE] for i in range(0, len(paths), _FILES_AT_ONCE)]
    while waiting:
        batch = waiting.pop()
        problem = _insert(db, table, {path: files[path].id for path in batch})
        if problem is None or len(batch) == 1:
            progress.step(len(batch), table.kind)
        if problem is None:
            continue
        if len(batch) == 1:
            log.debug("left out %s: %s", batch[0], problem)
            bad.append((batch[0], problem))
        else:
            waiting += [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
    return bad


def _insert(db: DuckDBPyConnection, table: RecordTable, ids: dict[str, int]) -> str | None:
    """Words for what went wrong, None where the files are in."""
    columns = [f'r."{column.name}"' for column in table.columns]
    # hash(NULL) is a number, too.
    columns += [
        f"CASE WHEN r.{name} IS NOT NULL THEN (hash(r.{name}) & 4294967295)::UINTEGER END" for name in table.hashed
    ]
    db.execute(
        "CREATE OR REPLACE TEMP TABLE loading AS SELECT unnest($paths) AS path, unnest($ids) AS output_id",
        {"paths": list(ids), "ids": list(ids.values())},
    )
    try:
        db.execute(
            f"INSERT INTO {table.table} SELECT l.output_id, {', '.join(columns)} "
            f"FROM {table.source} r JOIN loading l ON l.path = r.path_of_file",
            {"paths": list(ids)},
        )
        return None
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        return str(error).splitlines()[0]


def _write_outputs(db: DuckDBPyConnection, outputs: list[Found], problems: list[tuple[str, str]]) -> None:
    columns = [row[0] for row in db.execute("SELECT name FROM pragma_table_info('records.outputs')").fetchall()]
    output_rows = [dict(zip(columns, _output_row(one), strict=True)) for one in outputs]
    edges = [
        {
            "output_id": one.id,
            "asset": asset,
            "partition": partition,
            "digest": digest,
            "folder": folder,
            "input_id": output_id(folder, digest),
        }
        for one in outputs
        for asset, partition, digest, folder in one.inputs
    ]
    rows_of_problems = [{"place": place, "problem": problem} for place, problem in problems]
    for table, rows in (("outputs", output_rows), ("inputs", edges), ("problems", rows_of_problems)):
        db.execute(f"DELETE FROM records.{table}")
        insert(db, f"records.{table}", rows)


def _output_row(one: Found) -> tuple[object, ...]:
    made = one.output.manifest
    stage, name, benchmark, run, step = ref_parts(made.ref)
    texts = (json.dumps(value, sort_keys=True) for value in (made.spec, made.stats, made.made_by))
    return (
        *(one.id, made.asset, made.partition, stage, name, benchmark, run, step, made.fingerprint, made.digest),
        *(one.place, made.origin, *texts, made.made_by.get("commit"), made.started_at, made.finished_at),
        *(made.seconds, one.bytes, one.damage),
    )


def _digests(outputs: list[Found], latest: set[int]) -> dict[str, str]:
    """What each table was filled from: the same digest means the same rows."""
    digests = {
        table.table: _digest(str(one.id) for one in outputs if _has(one, table, latest)) for table in RECORD_TABLES
    }
    every = _digest(f"{one.id} {one.damage or ''}" for one in outputs)
    return {**digests, "records.outputs": every, "records.inputs": every, "records.problems": every}


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
