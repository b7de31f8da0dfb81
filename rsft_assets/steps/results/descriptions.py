"""What each table and column of `results.duckdb` holds, in words: for `COMMENT ON`, `build.columns` and Dagster.

A column is described where it comes into being: in the header of its SQL file, or in `records/columns.py`. One that
keeps its name from table to table keeps its description. What is described nowhere else, and names that mean the same
everywhere, stand in `dbt_like_sql/descriptions.csv`.
"""

import csv
import functools
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rsft_assets.steps.records.columns import KINDS
from rsft_assets.steps.results.publishing import BuiltTable
from rsft_assets.steps.results.sql_files import SqlTable, sql_folder

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_RECORDS = {
    f"{schema}.{kind}": {column.name: column.about for column in columns}
    for kind, columns in KINDS.items()
    for schema in ("records", "texts")
}
_PATTERNS = {
    r"(\w+)_low": r"lower end of the 95 % interval of \1",
    r"(\w+)_high": r"upper end of the 95 % interval of \1",
    r"is_(\w+)_beyond_noise": r"the 95 % interval of \1 leaves out 0",
    r"(\w+)_holm_p": r"p value of \1 after Holm's correction over arms and benchmarks",
    r"is_(\w+)_confirmed": r"\1_holm_p is 0.05 at most, and the 95 % interval leaves out 0",
}


class Descriptions:
    """The descriptions of one build's tables."""

    def __init__(self, entries: Iterable[SqlTable], built: Iterable[BuiltTable]) -> None:
        self._entries = {entry.table: entry for entry in entries}
        self._origins = {f"{table.schema}.{table.name}": table.lineage for table in built}

    def of_table(self, table: str) -> str:
        """The description of `schema.table`; empty where there is none."""
        if entry := self._entries.get(table):
            grain = f" One row per {', '.join(entry.grain)}." if entry.grain else ""
            return f"{entry.description}{grain}"
        return _glossary().get(table, "")

    def of_column(self, table: str, column: str) -> str:
        """The description of a column; empty where there is none."""
        entry = self._entries.get(table)
        own = entry.about.get(column) if entry else _RECORDS.get(table, {}).get(column)
        if said := own or _glossary().get(f"{table}.{column}"):
            return said
        for above, name in self._origins.get(table, {}).get(column, ()):
            if name == column and (above, name) != (table, column) and (said := self.of_column(above, name)):
                return said
        if said := _glossary().get(column):
            return said
        matches = ((re.fullmatch(pattern, column), text) for pattern, text in _PATTERNS.items())
        return next((match.expand(text) for match, text in matches if match), "")


@functools.cache
def _glossary() -> dict[str, str]:
    """Column, `schema.table` or `schema.table.column` -> description."""
    with (sql_folder() / "descriptions.csv").open(encoding="utf-8", newline="") as file:
        return {row["name"]: row["description"] for row in csv.DictReader(file)}


def comment(db: "DuckDBPyConnection", descriptions: Descriptions) -> None:
    """`COMMENT ON` every table, view and column whose comment is not its description yet."""
    tables = db.execute(
        "SELECT schema_name || '.' || table_name, 'TABLE', comment FROM duckdb_tables() UNION ALL "
        "SELECT schema_name || '.' || view_name, 'VIEW', comment FROM duckdb_views() WHERE NOT internal"
    ).fetchall()
    columns = db.execute(
        "SELECT schema_name || '.' || table_name, column_name, comment FROM duckdb_columns() WHERE NOT internal"
    ).fetchall()
    wanted = [(f"{kind} {table}", descriptions.of_table(table), said) for table, kind, said in tables]
    for table, column, said in columns:
        wanted.append((f'COLUMN {table}."{column}"', descriptions.of_column(table, column), said))
    # One transaction: by itself, each statement takes milliseconds.
    db.execute("BEGIN")
    for what, text, said in wanted:
        if text and text != said:
            quoted = text.replace("'", "''")
            db.execute(f"COMMENT ON {what} IS '{quoted}'")
    db.execute("COMMIT")
