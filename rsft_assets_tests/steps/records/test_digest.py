"""Content digests: of rows, whatever the Parquet file looks like inside."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsft_assets.steps.records.digest import table_digest

ROWS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.text(max_size=5)),
        st.one_of(st.none(), st.integers(-(2**60), 2**60)),
        st.one_of(st.none(), st.floats(allow_nan=False)),
        st.booleans(),
    ),
    min_size=1,
    max_size=30,
)
SCHEMA = pa.schema([("text", pa.string()), ("number", pa.int64()), ("share", pa.float64()), ("flag", pa.bool_())])


def table_of(rows):
    return pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], schema=SCHEMA)


@settings(max_examples=40)
@given(rows=ROWS, group=st.integers(1, 7), codec=st.sampled_from(["zstd", "snappy", "none"]))
def test_the_writer_does_not_matter(tmp_path_factory, rows, group, codec):
    folder = tmp_path_factory.mktemp("digest")
    pq.write_table(table_of(rows), folder / "a.parquet")
    pq.write_table(table_of(rows), folder / "b.parquet", row_group_size=group, compression=codec, version="1.0")
    assert table_digest(folder / "a.parquet") == table_digest(folder / "b.parquet")


@settings(max_examples=40)
@given(rows=ROWS, other=ROWS)
def test_other_rows_other_digest(tmp_path_factory, rows, other):
    folder = tmp_path_factory.mktemp("digest")
    pq.write_table(table_of(rows), folder / "a.parquet")
    pq.write_table(table_of(other), folder / "b.parquet")
    same = [tuple(map(repr, row)) for row in rows] == [tuple(map(repr, row)) for row in other]
    assert (table_digest(folder / "a.parquet") == table_digest(folder / "b.parquet")) == same


@pytest.mark.parametrize(
    ("one", "two"),
    [(["ab", "c"], ["a", "bc"]), ([None], [""]), (["a", None], [None, "a"]), (["a"], ["a", "a"])],
)
def test_cells_do_not_run_together(tmp_path, one, two):
    pq.write_table(pa.table({"x": pa.array(one, pa.string())}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"x": pa.array(two, pa.string())}), tmp_path / "b.parquet")
    assert table_digest(tmp_path / "a.parquet") != table_digest(tmp_path / "b.parquet")


def test_many_blocks_and_nested_columns(tmp_path):
    rows = [{"n": i, "turns": [{"role": "user", "content": str(i)}]} for i in range(2_000)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "b.parquet", row_group_size=300)
    assert table_digest(tmp_path / "a.parquet") == table_digest(tmp_path / "b.parquet")
    rows[1_999]["turns"][0]["content"] = "other"
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "c.parquet")
    assert table_digest(tmp_path / "a.parquet") != table_digest(tmp_path / "c.parquet")


def test_how_long_it_took_is_no_content(tmp_path):
    pq.write_table(pa.table({"value": [1, 2], "seconds": [0.1, 0.2]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"value": [1, 2], "seconds": [0.3, 0.4]}), tmp_path / "b.parquet")
    pq.write_table(pa.table({"value": [1, 3], "seconds": [0.1, 0.2]}), tmp_path / "c.parquet")
    assert table_digest(tmp_path / "a.parquet") == table_digest(tmp_path / "b.parquet")
    assert table_digest(tmp_path / "a.parquet") != table_digest(tmp_path / "c.parquet")
