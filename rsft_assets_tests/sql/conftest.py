"""A finished small study, made once, and its results; a test that changes files takes a copy."""

import shutil
from pathlib import Path

import pytest

from rsft_assets.steps.records.store import Store
from rsft_assets.steps.results.build import build_results
from rsft_assets.steps.results.sql_files import sql_folder
from rsft_assets_tests.finished_study import finish, tiny_study


@pytest.fixture(scope="session")
def study():
    return tiny_study()


@pytest.fixture(scope="session")
def finished(study, tmp_path_factory):
    """A store with every output of the tiny study and its results; read only."""
    store = Store(tmp_path_factory.mktemp("finished"))
    finish(study, store)
    results = build_results(study, store)
    assert results.failures == ()
    return store


@pytest.fixture
def copied(finished, tmp_path):
    """The same, to change."""
    shutil.copytree(finished.home, tmp_path / "home")
    return Store(tmp_path / "home")


@pytest.fixture
def sql(tmp_path):
    """The SQL folder, to change."""
    return Path(shutil.copytree(sql_folder(), tmp_path / "sql"))
