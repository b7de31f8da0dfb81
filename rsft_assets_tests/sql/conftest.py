"""A finished small study, its results, figures and report, made once; a test that changes files takes a copy."""

import shutil
from pathlib import Path

import pytest

from rsft_assets.steps.figures.draw import draw_figures
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.report.write import make_report
from rsft_assets.steps.results.build import build_results
from rsft_assets.steps.results.sql_files import sql_folder
from rsft_assets_tests.finished_study import finished_home, tiny_study
from rsft_assets_tests.made_once import made_once


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Every figure and the report take twenty seconds to draw."""
    for item in items:
        if "reported" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def study():
    return tiny_study()


@pytest.fixture(scope="session")
def finished(study, tmp_path_factory):
    """A store with every output of the tiny study and its results; read only."""

    def make(folder):
        shutil.copytree(finished_home(tmp_path_factory), folder, dirs_exist_ok=True)
        assert build_results(study, Store(folder)).failures == ()

    return Store(made_once(tmp_path_factory, "finished", make))


@pytest.fixture(scope="session")
def reported(study, finished, tmp_path_factory):
    """The same with every figure and the report; read only."""

    def make(folder):
        store = Store(shutil.copytree(finished.home, folder, dirs_exist_ok=True))
        draw_figures(study, store)
        make_report(study, store)

    return Store(made_once(tmp_path_factory, "reported", make))


@pytest.fixture
def copied(finished, tmp_path):
    """A finished store, to change."""
    return Store(shutil.copytree(finished.home, tmp_path / "home"))


@pytest.fixture
def copied_report(reported, tmp_path):
    """A store with figures and report, to change."""
    return Store(shutil.copytree(reported.home, tmp_path / "home"))


@pytest.fixture
def sql(tmp_path):
    """The SQL folder, to change."""
    return Path(shutil.copytree(sql_folder(), tmp_path / "sql"))
