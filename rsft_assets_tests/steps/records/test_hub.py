"""The hub's one door, on local folders in the hub's own layout."""

import hashlib
from dataclasses import replace

import pytest

from rsft_assets.specs.errors import NoAccess, StepError
from rsft_assets.specs.hub import Hub
from rsft_assets.specs.lock import LockedFile, LockedRepository, lock_text
from rsft_assets.steps.records.hub import dataset_rows, model_folder
from rsft_assets_tests.steps.data_study import mirror_json_lines, mirror_parquet

ROWS = [{"problem": "1+1", "answer": "2"}, {"problem": "2+2", "answer": "4"}]
README = """---
configs:
- config_name: default
  data_files: [{split: train, path: data/train-*}]
- config_name: extended
  data_files: [{split: train, path: extended/train-*}]
---
"""


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    monkeypatch.setenv("RSFT_MIRROR", str(tmp_path))
    return tmp_path


def hub(**fields):
    return Hub(**{"repo": "owner/name", "kind": "dataset", "split": "train", **fields})


def test_parts_of_a_split_in_order(mirror):
    for part in (1, 0):
        mirror_parquet(mirror, "owner/name", f"data/train-0000{part}-of-00002.parquet", ROWS[part : part + 1])
    assert list(dataset_rows(hub())) == ROWS


def test_configurations_named_in_the_readme(mirror):
    mirror_parquet(mirror, "owner/name", "data/train-00000-of-00001.parquet", ROWS[:1])
    mirror_parquet(mirror, "owner/name", "extended/train-00000-of-00001.parquet", ROWS[1:])
    (mirror / "owner/name/README.md").write_text(README)
    assert list(dataset_rows(hub(config="default"))) == ROWS[:1]
    assert list(dataset_rows(hub(config="extended"))) == ROWS[1:]


def test_configuration_folder_without_a_readme(mirror):
    mirror_parquet(mirror, "owner/name", "extended/train-00000-of-00001.parquet", ROWS)
    assert list(dataset_rows(hub(config="extended"))) == ROWS


def test_split_asked_for_and_no_other(mirror):
    mirror_json_lines(mirror, "owner/name", "train.jsonl", ROWS[:1])
    mirror_json_lines(mirror, "owner/name", "test.jsonl", ROWS[1:])
    assert list(dataset_rows(hub(split="test"))) == ROWS[1:]


def test_named_files_only(mirror):
    mirror_json_lines(mirror, "owner/name", "a.jsonl", ROWS[:1])
    mirror_json_lines(mirror, "owner/name", "b.jsonl", ROWS[1:])
    assert list(dataset_rows(hub(), ["b.jsonl", "a.jsonl"])) == ROWS[::-1]


def test_declared_hash_is_checked(mirror):
    path = mirror_json_lines(mirror, "owner/name", "a.jsonl", ROWS)
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    assert list(dataset_rows(hub(file="a.jsonl", sha256=right))) == ROWS
    with pytest.raises(StepError, match="sha256"):
        list(dataset_rows(hub(file="a.jsonl", sha256="0" * 64)))


@pytest.mark.parametrize("fields", [{}, {"file": "a.jsonl"}])
def test_what_the_only_mirror_lacks_is_no_access(mirror, fields, monkeypatch):
    monkeypatch.setenv("RSFT_MIRROR_ONLY", "1")
    with pytest.raises(NoAccess, match="owner/name"):
        list(dataset_rows(hub(**fields)))


def test_unknown_configuration_or_split_is_not_no_access(mirror):
    mirror_parquet(mirror, "owner/name", "data/train-00000-of-00001.parquet", ROWS)
    for fields in ({"config": "none"}, {"split": "dev"}):
        with pytest.raises(StepError) as caught:
            list(dataset_rows(hub(**fields)))
        assert not isinstance(caught.value, NoAccess)
        assert "owner/name" in str(caught.value)


def test_damaged_file_is_named(mirror):
    path = mirror_parquet(mirror, "owner/name", "data/train-00000-of-00001.parquet", ROWS)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(StepError, match="name"):
        list(dataset_rows(hub()))


def test_damaged_pages_of_a_file_are_named(mirror):
    path = mirror_parquet(mirror, "owner/name", "a.parquet", ROWS)
    content = path.read_bytes()
    path.write_bytes(content[:4] + b"\xff" * 16 + content[20:])
    with pytest.raises(StepError, match=r"a\.parquet"):
        list(dataset_rows(hub(file="a.parquet")))


def test_without_mirror_a_revision_must_be_known(monkeypatch):
    monkeypatch.delenv("RSFT_MIRROR", raising=False)
    for read in (lambda: list(dataset_rows(hub())), lambda: model_folder(Hub(repo="owner/name"))):
        with pytest.raises(StepError, match=r"owner/name: no revision is known.*`rsft lock`.*\[pins\].*RSFT_MIRROR"):
            read()


def test_mirror_that_is_no_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("RSFT_MIRROR", str(tmp_path / "absent"))
    with pytest.raises(StepError, match="RSFT_MIRROR"):
        list(dataset_rows(hub()))


def test_model_folder_and_subfolder(mirror):
    folder = mirror / "owner/name"
    (folder / "step40").mkdir(parents=True)
    with pytest.raises(NoAccess, match=r"config\.json"):
        model_folder(Hub(repo="owner/name"))
    for place in (folder, folder / "step40"):
        (place / "config.json").write_text("{}")
    assert model_folder(Hub(repo="owner/name")) == folder
    assert model_folder(Hub(repo="owner/name", file="step40")) == folder / "step40"


def test_a_mirror_is_held_to_the_lock(mirror, monkeypatch):
    path = mirror_json_lines(mirror, "owner/name", "a.jsonl", ROWS)
    right = LockedFile(name="a.jsonl", size=1, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setenv("RSFT_LOCK", str(mirror / "rsft.lock"))
    pinned = hub(file="a.jsonl", revision="a" * 40)
    for file, sound in ((right, True), (replace(right, sha256="0" * 64), False)):
        locked = LockedRepository(kind="dataset", name="owner/name", revision="a" * 40, files=(file,))
        (mirror / "rsft.lock").write_text(lock_text([locked]))
        if sound:
            assert list(dataset_rows(pinned)) == ROWS
        else:
            with pytest.raises(StepError, match="is locked for owner/name"):
                list(dataset_rows(pinned))
    assert list(dataset_rows(hub(file="a.jsonl", revision="b" * 40))) == ROWS, "another revision is not the lock's"
