"""Rows in and out of Parquet, and the append-only journal that survives a kill."""

import json

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsft_assets.specs.errors import StepError
from rsft_assets.steps.records.journal import Journal
from rsft_assets.steps.records.rows import RowWriter, read_rows


def verdict(number, **fields):
    usual = {
        "response_id": f"q-{number}",
        "query_id": "q",
        "verdict": "wrong",
        "extracted": None,
        "reason": "different",
    }
    return {**usual, "seconds": 0.5, **fields}


def test_rows_come_back_as_they_were(tmp_path):
    rows = [verdict(n, extracted="ü \x00 \U0001f600" if n % 2 else None) for n in range(3_000)]
    with RowWriter(tmp_path / "a.parquet", "verdicts") as writer:
        for row in rows:
            writer.add({**row, "no such column": 1})
    assert writer.rows == 3_000
    assert list(read_rows(tmp_path / "a.parquet")) == rows
    assert list(read_rows(tmp_path / "a.parquet", ["response_id"]))[-1] == {"response_id": "q-2999"}


def test_text_that_utf8_cannot_hold_is_written_anyway(tmp_path):
    with RowWriter(tmp_path / "a.parquet", "verdicts") as writer:
        writer.add(verdict(0, extracted="half \ud83d of it"))
    assert next(read_rows(tmp_path / "a.parquet"))["extracted"] == "half ? of it"


def test_long_texts_make_small_row_groups(tmp_path):
    with RowWriter(tmp_path / "a.parquet", "verdicts") as writer:
        for number in range(40):
            writer.add(verdict(number, extracted="x" * 500_000))
    assert pq.ParquetFile(tmp_path / "a.parquet").num_row_groups >= 4


def test_a_missing_column_is_an_error(tmp_path):
    with pytest.raises(KeyError), RowWriter(tmp_path / "a.parquet", "verdicts") as writer:
        writer.add({"response_id": "q-0"})


def test_a_file_that_is_no_parquet_is_named(tmp_path):
    (tmp_path / "a.parquet").write_text("nothing")
    with pytest.raises(StepError, match=r"a\.parquet"):
        list(read_rows(tmp_path / "a.parquet"))


KEYS = st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=20)


@given(KEYS, st.data())
def test_a_journal_cut_anywhere_keeps_every_whole_line(tmp_path_factory, keys, data):
    path = tmp_path_factory.mktemp("journal") / ".journal.jsonl"
    with Journal(path, key="id") as journal:
        assert journal.append({"id": key, "text": key * 2} for key in keys) == len(set(keys))
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    kept = [json.loads(line)["id"] for line in whole[:cut].split(b"\n")[:-1]]
    with Journal(path, key="id") as journal:
        assert list(journal) == kept
        assert all(journal[key]["text"] == key * 2 for key in kept)
        journal.append({"id": key, "text": key * 2} for key in keys)
        assert all(journal[key] == {"id": key, "text": key * 2} for key in keys)
    assert path.read_bytes() == whole


def test_reading_between_writing(tmp_path):
    with Journal(tmp_path / "j", key="id") as journal:
        for number in range(100):
            journal.append([{"id": str(number), "value": number}])
            assert journal[str(number // 2)]["value"] == number // 2
        assert len(journal) == 100
        assert "100" not in journal


def test_what_follows_a_damaged_line_is_dropped(tmp_path):
    (tmp_path / "j").write_bytes(b'{"id": "a"}\n\x00\x00garbage\n{"id": "b"}\n')
    with Journal(tmp_path / "j", key="id") as journal:
        assert list(journal) == ["a"]
    assert (tmp_path / "j").read_bytes() == b'{"id": "a"}\n'
