"""Files of rows to judge, JSONL (also .gz) or Parquet, read and written row by row.

Comes in: a path. Goes out: `Row`s, one for every row of the file, readable or not; and writers that put verdict columns
beside the columns of the source. Memory does not grow with the file. Text that is not UTF-8 is kept as surrogates.
"""

import codecs
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from rsft_assets.specs.errors import StepError

ADDED = pa.schema(
    [("verdict", pa.string()), ("extracted", pa.string()), ("reason", pa.string()), ("seconds", pa.float64())]
)
NEEDED = ("gold", "response")

_JSONL = (".jsonl", ".ndjson", ".json", ".jsonl.gz", ".ndjson.gz", ".json.gz")
_TEXTS = ("id", "query_id", "gold", "response")
_BATCH_ROWS = 64
_GROUP_BYTES = 64_000_000


class Row(NamedTuple):
    """One row of a file; where it cannot be read, `error` says why and `raw` is what stands there."""

    fields: Mapping[str, Any]
    error: str | None = None
    raw: str | None = None


class Writer(Protocol):
    """Takes rows with their verdict columns, in order."""

    def write(self, row: Row, added: Mapping[str, Any]) -> None: ...

    def close(self) -> None: ...


def is_parquet(path: Path) -> bool:
    """Whether the name says Parquet; a StepError where it says neither format."""
    if path.name.endswith(".parquet"):
        return True
    if path.name.endswith(_JSONL):
        return False
    raise StepError(f"{path}: the format is read from the name; use .parquet, .jsonl or .jsonl.gz")


def read_rows(path: Path, columns: tuple[str, ...] | None = None) -> Iterator[Row]:
    """Every row of a file, in order. `columns` names what is needed of a Parquet file."""
    number = 0
    try:
        for row in _parquet_rows(path, columns) if is_parquet(path) else _json_rows(path):
            number += 1
            yield row
    except (pa.ArrowException, OSError, EOFError, zlib.error) as error:
        raise StepError(f"{path}, after row {number}: {error}; the file is damaged or cut short") from error


def open_writer(path: Path, target: Path, source: Path) -> Writer:
    """A writer to `path` in the format that `target` names, for rows of `source`."""
    if not is_parquet(target):
        return JsonWriter(path, packed=target.name.endswith(".gz"))
    return ParquetWriter(path, pq.read_schema(source) if is_parquet(source) else None)


class JsonWriter:
    """One JSON object a line: the row's fields and the verdict columns."""

    def __init__(self, path: Path, *, packed: bool) -> None:
        self._file: IO[bytes] = gzip.open(path, "wb", compresslevel=5) if packed else path.open("wb")  # type: ignore[assignment]  # noqa: SIM115

    def write(self, row: Row, added: Mapping[str, Any]) -> None:
        fields = dict(row.fields) | dict(added)
        if row.error:
            fields |= {"error": row.error, "raw": row.raw}
        self._file.write(_encoded(fields) + b"\n")

    def close(self) -> None:
        self._file.close()


class ParquetWriter:
    """Row groups of bounded size. Rows of JSONL keep their texts as columns and the rest as JSON in `fields`."""

    def __init__(self, path: Path, source: pa.Schema | None) -> None:
        kept = [field for field in source if field.name not in ADDED.names] if source is not None else None
        self._from_json = kept is None
        texts = [pa.field(name, pa.string()) for name in (*_TEXTS, "fields")]
        self._schema = pa.schema([*(texts if kept is None else kept), *ADDED])
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []
        self._batches: list[pa.RecordBatch] = []

    def write(self, row: Row, added: Mapping[str, Any]) -> None:
        fields = _columns_of_json(row) if self._from_json else dict(row.fields)
        self._rows.append(fields | dict(added))
        if len(self._rows) >= _BATCH_ROWS:
            self._batch()

    def close(self) -> None:
        self._batch()
        self._flush()
        self._writer.close()

    def _batch(self) -> None:
        rows = [{name: _storable(row.get(name)) for name in self._schema.names} for row in self._rows]
        self._batches.append(pa.RecordBatch.from_pylist(rows, schema=self._schema))
        self._rows = []
        if sum(batch.nbytes for batch in self._batches) > _GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_batches(self._batches, schema=self._schema))
        self._batches = []


def _json_rows(path: Path) -> Iterator[Row]:
    opened: IO[bytes] = gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb")  # type: ignore[assignment]  # noqa: SIM115
    with opened as file:
        for number, line in enumerate(file, 1):
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if line.strip():
                yield _json_row(line, f"{path}, row {number}")


def _json_row(line: bytes, place: str) -> Row:
    text = line.decode("utf-8", "surrogateescape")
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        return Row({}, f"{place}: not JSON ({error})", text.rstrip("\r\n"))
    if not isinstance(fields, dict):
        return Row({}, f"{place}: not a JSON object", text.rstrip("\r\n"))
    return Row(fields)


def _parquet_rows(path: Path, columns: tuple[str, ...] | None) -> Iterator[Row]:
    with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
        names = file.schema_arrow.names
        if missing := [name for name in NEEDED if name not in names]:
            raise StepError(f"{path}: no column {' and no column '.join(missing)}; it has {', '.join(names)}")
        wanted = [name for name in columns or names if name in names]
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=wanted):
            yield from map(Row, _python_rows(batch))


def _python_rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = batch.to_pylist()
        return rows
    except UnicodeDecodeError:
        columns = {name: _python_values(batch.column(name)) for name in batch.schema.names}
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _python_values(column: pa.Array) -> list[Any]:
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return list(column.to_pylist())
    values = column.cast(pa.large_binary() if pa.types.is_large_string(column.type) else pa.binary()).to_pylist()
    return [value if value is None else value.decode("utf-8", "surrogateescape") for value in values]


def _columns_of_json(row: Row) -> dict[str, Any]:
    if row.error:
        return {"fields": _encoded({"error": row.error, "raw": row.raw}).decode()}
    texts = {name: as_text(row.fields.get(name)) for name in _TEXTS}
    rest = {name: value for name, value in row.fields.items() if name not in _TEXTS and name not in ADDED.names}
    return texts | {"fields": _encoded(rest).decode()}


def as_text(value: Any) -> str | None:
    """A column's value as the text that is judged: strings as they are, everything else as JSON."""
    if value is None or isinstance(value, str):
        return value
    return _encoded(value).decode()


def _encoded(value: Any) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:  # surrogates stand for bytes that are not UTF-8; escapes keep them
        return json.dumps(value, default=str).encode()


def _storable(value: Any) -> Any:
    if isinstance(value, str) and not value.isascii():
        return value.encode("utf-8", "surrogateescape" if _only_escaped(value) else "replace").decode(
            "utf-8", "replace"
        )
    return value


def _only_escaped(value: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" and not "\udc80" <= char <= "\udcff" for char in value)
