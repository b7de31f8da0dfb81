"""What was read is read again where the content or the reader changed, and only there."""

import pytest

from rsft_assets.steps.records.kept_readings import KeptReadings


@pytest.fixture
def place(tmp_path, monkeypatch):
    (tmp_path / "some_reader.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "kept.json"


def read_in_a_new_process(place, content, answer):
    """What a process gets that would read `answer`."""
    readings = KeptReadings(place, "some_reader")
    found = readings.of("a.sql", content, lambda: answer)
    readings.write()
    return found


def test_the_same_content_is_read_once(place):
    assert read_in_a_new_process(place, b"1", ["first"]) == ["first"]
    assert read_in_a_new_process(place, b"1", ["second"]) == ["first"]
    assert read_in_a_new_process(place, b"2", ["third"]) == ["third"]


def test_another_reader_reads_again(place):
    read_in_a_new_process(place, b"1", ["first"])
    (place.parent / "some_reader.py").write_text("# changed")
    assert read_in_a_new_process(place, b"1", ["second"]) == ["second"]


def test_a_damaged_file_is_replaced(place):
    place.write_text("[1, {")
    assert read_in_a_new_process(place, b"1", ["first"]) == ["first"]
    assert read_in_a_new_process(place, b"1", ["second"]) == ["first"]


def test_without_a_folder_it_is_read_each_time(place):
    nowhere = place.parent / "none" / "kept.json"
    assert read_in_a_new_process(nowhere, b"1", ["first"]) == ["first"]
    assert read_in_a_new_process(nowhere, b"1", ["second"]) == ["second"]
    assert not nowhere.parent.exists()
