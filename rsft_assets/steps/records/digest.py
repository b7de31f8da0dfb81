"""Content digests: a table's rows, not its bytes on disk, which change with the Parquet writer.

Rows are hashed in blocks of a fixed size, column by column, as validity, lengths and values, so neither
row groups nor compression nor a writer's version can change the digest. Row order and column names do. How
long something took is recorded but is no content: the same work done again has the same digest.
"""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsft_assets.steps.records.columns import MEASURED_COLUMNS

if TYPE_CHECKING:
    import pyarrow

BLOCK_ROWS = 512
_READ_BYTES = 1 << 20


def bytes_digest(path: Path) -> str:
    """sha256 of a file's bytes: model weights, JSON, pictures."""
    seen = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            seen.update(chunk)
    return seen.hexdigest()


def file_digest(path: Path) -> tuple[str, int | None]:
    """(digest, rows): of content for Parquet, of bytes for everything else."""
    return table_digest(path) if path.suffix == ".parquet" else (bytes_digest(path), None)


def table_digest(path: Path) -> tuple[str, int]:
    """Digest and row count of a Parquet file, in bounded memory; a `ValueError` where it cannot be read."""
    import pyarrow as pa

    try:
        return _table_digest(path)
    except pa.ArrowException as error:
        # Damage shows as any of Arrow's errors, of which only some are ValueErrors.
        raise ValueError(str(error)) from error


def _table_digest(path: Path) -> tuple[str, int]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    seen = hashlib.sha256()
    rows = 0
    with pq.ParquetFile(path) as file:
        content = [field for field in file.schema_arrow if field.name not in MEASURED_COLUMNS]
        seen.update(json.dumps([[field.name, str(field.type)] for field in content]).encode())
        names = [field.name for field in content]
        held: list[Any] = []
        held_rows = 0
        for batch in file.iter_batches(batch_size=BLOCK_ROWS):
            held.append(batch)
            held_rows += batch.num_rows
            while held_rows >= BLOCK_ROWS:
                table = pa.Table.from_batches(held)
                _update(seen, table.slice(0, BLOCK_ROWS).select(names))
                held = table.slice(BLOCK_ROWS).to_batches()
                held_rows -= BLOCK_ROWS
                rows += BLOCK_ROWS
        if held_rows:
            _update(seen, pa.Table.from_batches(held).select(names))
            rows += held_rows
    return seen.hexdigest(), rows


def _update(seen: Any, table: "pyarrow.Table") -> None:
    seen.update(table.num_rows.to_bytes(8, "little"))
    for name in table.column_names:
        _update_column(seen, table[name].combine_chunks())


def _update_column(seen: Any, column: Any) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_nested(column.type):
        seen.update(json.dumps(column.to_pylist(), ensure_ascii=False).encode())
        return
    seen.update(pc.is_valid(column).to_numpy(zero_copy_only=False).tobytes())
    if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
        filled = pc.fill_null(column, "" if pa.types.is_string(column.type) else b"")
        seen.update(pc.binary_length(filled).to_numpy(zero_copy_only=False).astype("int64").tobytes())
        _, offsets, data = filled.buffers()
        ends = memoryview(offsets).cast("i")
        start, stop = ends[filled.offset], ends[filled.offset + len(filled)]
        if data is not None:
            seen.update(memoryview(data)[start:stop])
    else:
        seen.update(
            pc.fill_null(column, False if pa.types.is_boolean(column.type) else 0)
            .to_numpy(zero_copy_only=False)
            .tobytes()
        )


def combined_digest(files: dict[str, str]) -> str:
    """One digest for an output: of its files' names and digests."""
    return hashlib.sha256(json.dumps(sorted(files.items())).encode()).hexdigest()
