"""Rows of a record in and out of Parquet, in bounded memory.

with RowWriter(path, "queries") as rows:
    rows.add({"query_id": ..., ...})          # every column of `KINDS["queries"]`
for row in read_rows(path, columns=["query_id", "gold"]): ...
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rsft_assets.specs.errors import StepError
from rsft_assets.steps.records.columns import KINDS, arrow_schema

if TYPE_CHECKING:
    import pyarrow

_GROUP_ROWS = 1024
_GROUP_CHARS = 4 << 20


class RowWriter:
    """Writes dictionaries as one Parquet file of a kind; small row groups, so that single rows are cheap to reach."""

    def __init__(self, path: Path, kind: str) -> None:
        import pyarrow.parquet as pq

        self.rows = 0
        self._schema = arrow_schema(kind)
        self._names = [column.name for column in KINDS[kind]]
        self._held: list[dict[str, Any]] = []
        self._held_chars = 0
        self._file = pq.ParquetWriter(path, self._schema, compression="zstd")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *problem: object) -> None:
        if kind is None:
            self._flush()
        self._file.close()

    def add(self, row: Mapping[str, Any]) -> None:
        """One more row; a missing column is a `KeyError`, one too many is left out."""
        kept = {name: _text(row[name]) for name in self._names}
        self._held.append(kept)
        self._held_chars += sum(len(value) for value in kept.values() if isinstance(value, str))
        self.rows += 1
        if len(self._held) >= _GROUP_ROWS or self._held_chars >= _GROUP_CHARS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._held:
            self._file.write_table(pa.Table.from_pylist(self._held, schema=self._schema))
            self._held, self._held_chars = [], 0


def write_rows(path: Path, kind: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """One Parquet file of these rows."""
    with RowWriter(path, kind) as writer:
        for row in rows:
            writer.add(row)


def _text(value: Any) -> Any:
    # Models and old files can produce lone surrogates, which have no UTF-8 form.
    if isinstance(value, str) and not value.isascii():
        return value.encode("utf-8", "replace").decode("utf-8")
    return value


def read_batches(path: Path, columns: Sequence[str] | None = None, batch: int = 512) -> Iterator["pyarrow.RecordBatch"]:
    """Record batches of a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=batch, columns=list(columns) if columns else None)
    except pa.ArrowInvalid as error:
        raise StepError(f"{path} is not a readable Parquet file ({error}); make it again") from error


def read_rows(path: Path, columns: Sequence[str] | None = None, batch: int = 512) -> Iterator[dict[str, Any]]:
    """Rows as dictionaries, a batch in memory at a time."""
    for rows in read_batches(path, columns, batch):
        yield from rows.to_pylist()


def without_surrogates(text: str) -> str:
    """Text that can be written as UTF-8; lone surrogates become U+FFFD."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
