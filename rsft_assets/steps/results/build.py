"""Turn the files of all stages into `results.duckdb`: manifests, records and `dbt_like_sql`.

In: everything current under RSFT_HOME, the declared study, the SQL folder. Out: `<home>/results.duckdb`,
read-only, published by rename, and `<home>/results.json`, its account of itself. Building again loads only
outputs that are new and runs only the SQL whose inputs changed. How to run:

    python -m rsft_assets.steps.results.build [--anew]
    duckdb -readonly .rsft/results.duckdb < dbt_like_sql/marts/benchmark_scores.sql
"""

import argparse
import json
import logging
import time
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.study import Study, load_study
from rsft_assets.steps.processes.events import Progress, say_note
from rsft_assets.steps.processes.program import run_step
from rsft_assets.steps.records.locks import exclusive
from rsft_assets.steps.records.stage import parser_of_all
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.results import publishing
from rsft_assets.steps.results import tables as building
from rsft_assets.steps.results.account import write_account
from rsft_assets.steps.results.declared import write_declared
from rsft_assets.steps.results.descriptions import Descriptions, comment
from rsft_assets.steps.results.publishing import BuiltTable, Results, TestResult
from rsft_assets.steps.results.records_sync import create_record_tables, sync_records
from rsft_assets.steps.results.sql_files import SqlTable, macros, sql_tests, tables
from rsft_assets.steps.results.texts import write_texts

log = logging.getLogger(__name__)
MEMORY = "2500MB"


def build_results(
    study: Study, store: Store, *, folder: Path | None = None, force: bool = False, memory: str = MEMORY
) -> Results:
    """Build and publish the database; what could not be built is in the account's `failures`."""
    store.check_writable()
    started = time.perf_counter()
    entries = tables(folder)
    with exclusive(store.home / ".results.lock", "results.duckdb"):
        try:
            with publishing.database_aside(store, anew=force, memory=memory) as db:
                results = _build(db, study, store, entries, sql_tests(folder), macros(folder), started)
            publishing.publish(store, results)
        except duckdb.Error as error:
            cause = str(error).splitlines()[0]
            raise StepError(
                f"building {publishing.database_path(store)}: {cause}; the published database is as it was. "
                "Free disk or memory, or build it from nothing: python -m rsft_assets.steps.results.build --anew"
            ) from error
        finally:
            publishing.clear_aside(store)
    log.info("published %s: %d tables in %.1f s", results.database, len(results.tables), results.seconds)
    return results


def _build(
    db: DuckDBPyConnection,
    study: Study,
    store: Store,
    entries: tuple[SqlTable, ...],
    tests: tuple[SqlTable, ...],
    macros: str,
    started: float,
) -> Results:
    before = _start(db)
    db.execute(macros)
    digests, new = sync_records(db, store)
    digests |= write_texts(db, study, store, digests)
    digests |= write_declared(db, study, {name: table.digest for name, table in before.items()})
    names = frozenset(entry.table for entry in entries)
    bench = building.Workbench(db, digests, before, new, macros, names)
    _forget(db, entries, before)
    progress = Progress("tables", len(entries), "tables")
    built = []
    for entry in entries:
        built.append(building.build_table(bench, entry))
        progress.step(1, entry.table)
    building.kept_lineages.write()
    last = _last_tests(store) if before else {}
    outcomes = tuple(building.run_test(bench, entry, last.get(entry.name)) for entry in tests)
    return _finish(db, store, bench, tuple(built), outcomes, entries, started)


def _last_tests(store: Store) -> dict[str, TestResult]:
    try:
        results = publishing.read_results(store)
    except StepError:
        return {}
    return {test.name: test for test in results.tests} if results else {}


def _start(db: DuckDBPyConnection) -> dict[str, BuiltTable]:
    """Tables of the database that this build goes on from; a new one is given its shape."""
    if db.execute("SELECT 1 FROM duckdb_schemas() WHERE schema_name = 'build'").fetchall():
        rows = db.execute("SELECT schema, name, state, digest, lineage FROM build.tables").fetchall()
        declared = db.execute("SELECT name, digest FROM build.declared").fetchall()
        kept = {
            f"{schema}.{name}": BuiltTable(
                schema=schema, name=name, state=state, digest=digest, lineage=json.loads(lineage)
            )
            for schema, name, state, digest, lineage in rows
        }
        for full, digest in declared:
            schema, name = full.split(".")
            kept[full] = BuiltTable(schema=schema, name=name, state="kept", digest=digest)
        return kept
    db.execute("CREATE SCHEMA build; CREATE TABLE build.incremental (name VARCHAR, code VARCHAR)")
    create_record_tables(db)
    return {}


def _forget(db: DuckDBPyConnection, entries: tuple[SqlTable, ...], before: dict[str, BuiltTable]) -> None:
    """Drop tables whose file is gone."""
    here = {entry.table for entry in entries}
    for name in before:
        if name not in here and not name.startswith("declared."):
            building.drop(db, name)


def _finish(
    db: DuckDBPyConnection,
    store: Store,
    bench: building.Workbench,
    built: tuple[BuiltTable, ...],
    tests: tuple[TestResult, ...],
    entries: tuple[SqlTable, ...],
    started: float,
) -> Results:
    problems = tuple(db.execute("SELECT place, problem FROM records.problems ORDER BY ALL").fetchall())
    outputs = db.execute("SELECT count(*) FROM records.outputs").fetchall()[0][0]
    results = Results(
        database=str(publishing.database_path(store)),
        tables=built,
        tests=tests,
        problems=problems,
        outputs=outputs,
        seconds=round(time.perf_counter() - started, 3),
        build_id=building.build_id(built),
    )
    declared = {name: digest for name, digest in bench.digests.items() if name.startswith("declared.")}
    descriptions = Descriptions(entries, built)
    write_account(db, results, entries, declared, descriptions)
    comment(db, descriptions)
    db.execute("CHECKPOINT")
    return results


def main(arguments: argparse.Namespace) -> None:
    results = build_results(load_study(), Store.from_env(), force=arguments.force)
    for line in _in_few_lines(results.problems):
        say_note(line)
    if results.failures:
        raise StepError(f"{results.database} was published without what failed:\n  " + "\n  ".join(results.failures))


def _in_few_lines(problems: tuple[tuple[str, str], ...]) -> list[str]:
    """One line for each kind of problem, since a thousand files can share one."""
    places: dict[str, list[str]] = {}
    for place, problem in problems:
        places.setdefault(problem, []).append(place)
    return [
        f"left out {where[0]}{f' and {len(where) - 1} more' if len(where) > 1 else ''}: {problem}"
        for problem, where in places.items()
    ]


if __name__ == "__main__":
    about_assets = "ignored: one build makes all tables that are out of date"
    run_step(main, parser_of_all(__doc__, about_assets, "from the files alone, nothing kept", "--anew"))
