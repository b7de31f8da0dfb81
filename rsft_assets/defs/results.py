"""Results as assets: one per file of `dbt_like_sql`, made together, with its tests as asset checks."""

import hashlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from rsft_assets.defs.failures import failure
from rsft_assets.defs.materializing import run_program
from rsft_assets.defs.pages import base_url
from rsft_assets.defs.programs import program_of
from rsft_assets.defs.recording import silent_output, upstream_tags
from rsft_assets.defs.stage_inputs import stage_input, stage_input_tags
from rsft_assets.defs.watching import tell
from rsft_assets.specs.lineage import asset_keys
from rsft_assets.specs.study import Study
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.results.descriptions import Descriptions
from rsft_assets.steps.results.publishing import ACCOUNT, BuiltTable, Results, TestResult, database_path, read_results
from rsft_assets.steps.results.record_tables import STAGES_OF
from rsft_assets.steps.results.sql_files import VIEWS, SqlTable, macros, results_keys, sql_tests, tables

MODULE = program_of("results")
GROUP = "results"
_KINDS = {"duckdb", "sql"}


def results_assets(study: Study) -> dg.AssetsDefinition:
    """All tables as one definition: they are built together, and only what changed is built again."""
    entries = tables()
    tests = _tests_by_table(entries)

    @dg.multi_asset(
        name="results",
        specs=[_spec(study, entry) for entry in entries],
        check_specs=[
            dg.AssetCheckSpec(name=test.name, asset=key.split("/"), description=test.description)
            for test, key in tests.values()
        ],
        can_subset=True,
        op_tags={"rsft/program": MODULE},
    )
    def results_op(context: dg.AssetExecutionContext) -> Iterator[dg.Output[None] | dg.AssetCheckResult]:
        results = _build(context)
        failed = False
        for table in results.tables:
            if table.state in ("failed", "skipped"):
                failed = True
                context.log.error(f"{table.key}: {table.problem}")
            else:
                context.log_event(table_materialization(context.instance, study, table, results))
                tell({"event": "recorded", "state": table.state, "asset": table.key, "partition": ""})
        made = {table.key for table in results.tables if table.state not in ("failed", "skipped")}
        selected = {key.to_user_string(): key for key in context.selected_asset_keys}
        for key in results_keys():
            if key in made and key in selected:
                yield silent_output(context.output_for_asset_key(selected[key]))
        for result in results.tests:
            if result.state == "failed":
                failed = True
                tell({"event": "note", "words": f"SQL test {result.name} failed: {result.problem or result.sample}"})
            if result.name in tests:
                checked = dg.AssetKey(tests[result.name][1].split("/"))
                if dg.AssetCheckKey(checked, result.name) in context.selected_asset_check_keys:
                    yield _check_result(result, tests[result.name])
        if failed:
            raise failure("\n".join(results.failures))

    return results_op


def _spec(study: Study, entry: SqlTable) -> dg.AssetSpec:
    metadata: dict[str, Any] = {"sql": dg.MetadataValue.md(f"```sql\n{entry.text}\n```")}
    if entry.columns:
        about = Descriptions([entry], ())
        columns = [dg.TableColumn(name, description=about.of_column(entry.table, name)) for name in entry.columns]
        metadata["dagster/column_schema"] = dg.TableSchema(columns=columns)
    grain = f"\n\nOne row per {', '.join(entry.grain)}." if entry.grain else ""
    return dg.AssetSpec(
        key=entry.key.split("/"),
        deps=[key.split("/") for key in _upstream(study, entry)],
        group_name=GROUP,
        description=f"{entry.description}{grain}\n\n`SELECT * FROM {entry.table}` in results.duckdb, opened read-only.",
        kinds=_KINDS,
        owners=["team:rsft"],
        tags={"stage": "results", "schema": entry.schema},
        metadata=metadata,
        code_version=_code_version(entry),
        skippable=True,
    )


def _upstream(study: Study, entry: SqlTable) -> list[str]:
    """Tables of the folder, and, of a table, the stages whose records the SQL reads."""
    upstream = [f"results/{name.replace('.', '/')}" for name in entry.depends_on]
    # The tables of a view stand on the stages.
    read = {stage for name in entry.reads for stage in STAGES_OF.get(name, ())} if entry.schema != VIEWS else set()
    declared = dict.fromkeys(key.split("/")[0] for key in asset_keys(study))
    return upstream + [stage_input(stage) for stage in declared if stage in read]


def _tests_by_table(entries: tuple[SqlTable, ...]) -> Mapping[str, tuple[SqlTable, str]]:
    """test name -> (test, key of the table that it checks: the first it reads)."""
    keys = {entry.table: entry.key for entry in entries}
    tests_of = {}
    for test in sql_tests():
        read = [keys[name] for name in test.reads if name in keys]
        if read:
            tests_of[test.name] = (test, read[0])
    return tests_of


def _build(context: dg.AssetExecutionContext) -> Results:
    """Run the build as a step and read its account, which names what failed."""
    store = Store.from_env()
    started = time.time_ns()
    try:
        run_program(context, MODULE, (), "results")
    except dg.Failure:
        # A build that published writes its account even where a table or a test failed.
        account = store.home / ACCOUNT
        if not account.exists() or account.stat().st_mtime_ns < started:
            raise
    results = read_results(store)
    if results is None:
        raise failure(f"{MODULE} wrote no account of what it built")
    return results


def _code_version(entry: SqlTable) -> str:
    return hashlib.sha256((macros() + entry.text).encode()).hexdigest()[:10]


def table_materialization(
    instance: dg.DagsterInstance, study: Study, table: BuiltTable, results: Results
) -> dg.AssetMaterialization:
    """Dagster's event for one table of a build."""
    entry = next(entry for entry in tables() if entry.key == table.key)
    upstream = _upstream(study, entry)
    tags = {
        **upstream_tags(instance, upstream),
        **stage_input_tags(upstream),
        "dagster/code_version": _code_version(entry),
        "dagster/data_version": table.digest,
    }
    name = f"{table.schema}.{table.name}"
    about = Descriptions(tables(), results.tables)
    metadata: dict[str, Any] = {
        "state": table.state,
        "database": dg.MetadataValue.path(str(database_path(Store.from_env()))),
        "query": f"SELECT * FROM {name}",
        "seconds": round(table.seconds, 3),
        "build": results.build_id,
        "trace": f"rsft trace {table.key}",
        "up to date?": dg.MetadataValue.url(base_url(Store.from_env().home)),
        "dagster/table_name": name,
        "dagster/column_schema": dg.TableSchema(
            columns=[dg.TableColumn(c, t, about.of_column(name, c)) for c, t in table.columns.items()]
        ),
    }
    if table.rows is not None:
        metadata["dagster/row_count"] = table.rows
    lineage = {
        column: [
            dg.TableColumnDep(asset_key=dg.AssetKey(["results", *source.split(".")]), column_name=name)
            for source, name in sources
        ]
        for column, sources in table.lineage.items()
    }
    if lineage:
        metadata["dagster/column_lineage"] = dg.TableColumnLineage(lineage)
    return dg.AssetMaterialization(
        asset_key=dg.AssetKey(table.key.split("/")),
        metadata=metadata,
        tags=tags,
    )


def _check_result(result: TestResult, test: tuple[SqlTable, str]) -> dg.AssetCheckResult:
    entry, key = test
    metadata: dict[str, Any] = {"state": result.state}
    if result.rows is not None:
        metadata["rows"] = result.rows
    if result.sample:
        metadata["sample"] = result.sample
    return dg.AssetCheckResult(
        passed=result.state == "passed",
        check_name=result.name,
        asset_key=dg.AssetKey(key.split("/")),
        severity=dg.AssetCheckSeverity.ERROR if entry.severity == "error" else dg.AssetCheckSeverity.WARN,
        description=result.problem,
        metadata=metadata,
    )
