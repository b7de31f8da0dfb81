"""Record files written with numpy, a whole file at a time: `write(folder, kind, {column: array or constant})`."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rsft_assets.steps.records.columns import arrow_schema


def ids(name: str, count: int) -> pa.Array:
    """Sixteen hexadecimal digits each, as the records have them."""
    return pa.array([hashlib.sha256(f"{name} {i}".encode()).hexdigest()[:16] for i in range(count)])


def write(folder: Path, kind: str, columns: dict[str, object]) -> None:
    pq.write_table(table(kind, columns), folder / f"{kind}.parquet", compression="zstd")


def table(kind: str, columns: dict[str, object]) -> pa.Table:
    """Records of one kind; a constant stands in every row, what is not given is empty."""
    schema = arrow_schema(kind)
    rows = max(len(v) for v in columns.values() if not isinstance(v, (str, int, float, type(None))))  # type: ignore[arg-type]
    arrays = []
    for column in schema:
        value = columns.get(column.name)
        if isinstance(value, (pa.Array, pa.ChunkedArray, np.ndarray, list)):
            arrays.append(pa.array(value, column.type) if not isinstance(value, pa.Array) else value.cast(column.type))
        else:
            arrays.append(pa.repeat(pa.scalar(value, column.type), rows))
    return pa.Table.from_arrays(arrays, schema=schema)
