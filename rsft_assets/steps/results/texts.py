"""`texts.*`: views over the Parquet files with the texts that `records.*` leaves out, of every benchmark but safety."""

from duckdb import DuckDBPyConnection

from rsft_assets.specs.study import Study
from rsft_assets.steps.records.store import Store

_VIEWS = {
    "items": ("benchmarks", "item_id, position, question, gold"),
    "completions": ("completions", "item_id, sample, text"),
}
"""Kind of record -> its stage and columns."""


def write_texts(db: DuckDBPyConnection, study: Study, store: Store, digests: dict[str, str]) -> dict[str, str]:
    """Write the views anew, since the home may have moved; the digest of each, which is that of its records."""
    shown = [b.name for b in study.benchmarks.values() if b.shows_texts]
    db.execute("CREATE SCHEMA IF NOT EXISTS texts")
    for kind, (stage, columns) in _VIEWS.items():
        rows = db.execute(
            "SELECT folder FROM records.outputs WHERE stage = ? AND benchmark IN (SELECT unnest(?)) "
            f"AND output_id IN (SELECT output_id FROM records.{kind}) ORDER BY folder",
            [stage, shown],
        ).fetchall()
        home = _quoted(f"{store.home}/")
        paths = ", ".join(f"{_quoted(f'{store.home}/{folder}/{kind}.parquet')}" for (folder,) in rows)
        # Without a file there is nothing to read columns from: those of the records are near enough.
        texts = f"read_parquet([{paths}], filename = true)" if paths else _nothing(columns)
        db.execute(
            f"CREATE OR REPLACE VIEW texts.{kind} AS SELECT o.output_id, {columns} FROM {texts} "
            f"JOIN records.outputs o ON filename = {home} || o.folder || '/{kind}.parquet'"
        )
    return {f"texts.{kind}": digests[f"records.{kind}"] for kind in _VIEWS}


def _nothing(columns: str) -> str:
    nulls = ", ".join(
        f"NULL::{'BIGINT' if c in ('position', 'sample') else 'VARCHAR'} AS {c}" for c in columns.split(", ")
    )
    return f"(SELECT {nulls}, NULL::VARCHAR AS filename WHERE false)"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
