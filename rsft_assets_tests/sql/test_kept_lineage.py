"""Column lineage is resolved once for one SQL and the columns that it reads, and anew when either changes."""

from pathlib import Path

import duckdb
import pytest

from rsft_assets.steps.records.kept_readings import KeptReadings
from rsft_assets.steps.results import tables
from rsft_assets.steps.results.sql_files import SqlTable

SQL = "SELECT * FROM main.read"


@pytest.fixture
def lineage(tmp_path, monkeypatch):
    """Lineage in a new process of a table with this SQL, where `main.read` has these columns."""

    def of(sql, *columns):
        kept = KeptReadings(tmp_path / "kept.json", "rsft_assets.steps.results.column_lineage")
        monkeypatch.setattr(tables, "kept_lineages", kept)
        with duckdb.connect() as db:
            db.execute(f"CREATE TABLE main.read ({', '.join(f'{column} INTEGER' for column in columns)})")
            entry = SqlTable(
                schema="marts", name="made", path=Path("made.sql"), text=sql, description="", reads=("main.read",)
            )
            made = tables._lineage(tables.Workbench(db, {}, {}, frozenset()), entry)
        kept.write()
        return made

    return of


def test_it_is_resolved_once(lineage, monkeypatch):
    first = lineage(SQL, "a", "b")
    assert first == {"a": [["main.read", "a"]], "b": [["main.read", "b"]]}
    monkeypatch.setattr("rsft_assets.steps.results.column_lineage.column_lineage", None)
    assert lineage(SQL, "a", "b") == first


def test_other_columns_or_other_sql_are_resolved_anew(lineage):
    lineage(SQL, "a", "b")
    assert lineage(SQL, "a", "c").keys() == {"a", "c"}
    assert lineage("SELECT a + b AS both FROM main.read", "a", "b") == {
        "both": [["main.read", "a"], ["main.read", "b"]]
    }
