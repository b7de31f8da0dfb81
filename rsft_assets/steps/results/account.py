"""The account of a build inside the database: `build.tables`, `columns`, `column_lineage`, `tests`, `facts`."""

import json
from typing import Any

from duckdb import DuckDBPyConnection

from rsft_assets.steps.results.descriptions import Descriptions
from rsft_assets.steps.results.publishing import Results, format_version, insert
from rsft_assets.steps.results.sql_files import SqlTable

_SHAPES = {
    "facts": "key VARCHAR, value VARCHAR",
    "declared": "name VARCHAR, digest VARCHAR",
    "tables": "schema VARCHAR, name VARCHAR, description VARCHAR, grain VARCHAR, rows BIGINT, state VARCHAR, "
    "problem VARCHAR, digest VARCHAR, seconds DOUBLE, lineage JSON",
    "columns": "schema VARCHAR, name VARCHAR, position BIGINT, column_name VARCHAR, type VARCHAR, about VARCHAR",
    "column_lineage": '"table" VARCHAR, column_name VARCHAR, from_table VARCHAR, from_column VARCHAR',
    "tests": "name VARCHAR, description VARCHAR, state VARCHAR, rows BIGINT, sample VARCHAR, problem VARCHAR",
}


def write_account(
    db: DuckDBPyConnection,
    results: Results,
    entries: tuple[SqlTable, ...],
    declared: dict[str, str],
    descriptions: Descriptions,
) -> None:
    """Replace the tables of schema `build`."""
    entry_of = {entry.table: entry for entry in entries}
    rows: dict[str, list[tuple[Any, ...]]] = {
        "facts": [
            ("version", format_version()),
            ("build_id", results.build_id),
            ("outputs", str(results.outputs)),
        ],
        "declared": sorted(declared.items()),
        "tables": [],
        "columns": [],
        "column_lineage": [],
        "tests": [(t.name, t.description, t.state, t.rows, t.sample, t.problem) for t in results.tests],
    }
    for table in results.tables:
        full = f"{table.schema}.{table.name}"
        entry = entry_of[full]
        rows["tables"].append(
            (
                *(table.schema, table.name, entry.description, ", ".join(entry.grain), table.rows, table.state),
                *(table.problem, table.digest, table.seconds, json.dumps(table.lineage)),
            )
        )
        for position, (column, type_) in enumerate(table.columns.items()):
            about = descriptions.of_column(full, column)
            rows["columns"].append((table.schema, table.name, position, column, type_, about))
        rows["column_lineage"] += [
            (full, column, *origin) for column in table.lineage for origin in table.lineage[column]
        ]
    for name, shape in _SHAPES.items():
        db.execute(f"CREATE OR REPLACE TABLE build.{name} ({shape})")
        names = [column.split()[0].strip('"') for column in shape.split(", ")]
        insert(db, f"build.{name}", [dict(zip(names, row, strict=True)) for row in rows[name]])
