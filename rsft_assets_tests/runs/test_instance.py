"""Dagster's folder and settings: whatever a person put there, the answer is a message with a remedy."""

import os
import sqlite3

import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import TickStatus

from rsft_assets.runs.database import database_words
from rsft_assets.runs.instance import open_instance
from rsft_assets.specs.errors import StepError
from rsft_assets.steps.records.store import Store

SETTINGS = {
    "no YAML": b"storage: [",
    "no mapping": b"- a",
    "no text": b"\xff\xfe",
    "unknown field": b"nonsense: 3",
    "number for a mapping": b"storage: 3",
    "unknown storage": b"storage: {mysql2: {a: 1}}",
    "storage that is not installed": b"storage: {mysql: {mysql_url: x}}",
    "unknown module": b"run_storage: {module: no.such, class: X, config: {}}",
    "unknown class": b"run_storage: {module: dagster, class: NoSuch, config: {}}",
    "wrong type": b"concurrency: {pools: {default_limit: x}}",
    "unset variable": b"local_artifact_storage: {module: dagster._core.storage.root, class: LocalArtifactStorage, "
    b"config: {base_dir: {env: RSFT_NO_SUCH_VARIABLE}}}",
}


BY_DEFAULT = ("no YAML", "unknown field", "unknown module", "unset variable")
"""One of each kind; each takes half a second."""


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(content, id=name, marks=() if name in BY_DEFAULT else pytest.mark.slow)
        for name, content in SETTINGS.items()
    ],
)
def test_settings_that_dagster_refuses_are_named(tmp_path, monkeypatch, content):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_bytes(content)
    with (
        pytest.raises(StepError, match=r"dagster\.yaml .* correct that file, or delete it"),
        open_instance(Store(tmp_path / "home")),
    ):
        pass
    (tmp_path / "dagster.yaml").unlink()
    with open_instance(Store(tmp_path / "home")) as instance:
        assert instance.get_runs() == []


def test_settings_that_are_a_folder_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").mkdir()
    with pytest.raises(StepError, match=r"dagster\.yaml .*Is a directory"), open_instance(Store(tmp_path / "home")):
        pass


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_folder_that_is_a_file_is_named(tmp_path, monkeypatch, place):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / place))
    with (
        pytest.raises(StepError, match="set DAGSTER_HOME to a folder, or unset it"),
        open_instance(Store(tmp_path / "home")),
    ):
        pass


@pytest.mark.parametrize("name", ["a?b", "100%20"])
def test_a_path_that_dagster_takes_for_another_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with pytest.raises(StepError, match="set DAGSTER_HOME to another folder"), open_instance(Store(tmp_path / name)):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_only_crashed_runs_are_retried_and_ticks_are_not_kept_for_ever(tmp_path, monkeypatch):
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with open_instance(Store(tmp_path)) as instance:
        assert instance.run_monitoring_enabled and instance.run_retries_enabled
        assert instance.run_retries_max_retries > 0 and not instance.run_retries_retry_on_asset_or_op_failure
        for kind in (InstigatorType.SENSOR, InstigatorType.SCHEDULE):
            days = instance.get_tick_retention_settings(kind)
            kept = [days[status] for status in (TickStatus.SKIPPED, TickStatus.SUCCESS, TickStatus.FAILURE)]
            assert kept == ([1, 30, 30] if kind is InstigatorType.SENSOR else [30, 30, 30])


def test_a_database_of_another_user_is_not_to_be_deleted(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with open_instance(Store(tmp_path / "home")):
        pass
    error = sqlite3.OperationalError("attempt to write a readonly database")
    assert "delete that folder" in database_words(error)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "belongs to another user: set DAGSTER_HOME" in database_words(error)
