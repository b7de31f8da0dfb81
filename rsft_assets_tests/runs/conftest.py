"""Where Dagster keeps its records in a test: SQLite's files in the home, or a Postgres server."""

import pytest

from rsft_assets.runs.instance import DAGSTER_YAML
from rsft_assets_tests.postgres_rig import SETTING, PostgresRig, needs_postgres, settings_of_the_page


@pytest.fixture(scope="session")
def server():
    with PostgresRig() as rig:
        yield rig


@pytest.fixture
def on_postgres(server, tmp_path, monkeypatch):
    """A home whose `dagster.yaml` is as the page says, with an empty database."""
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.setenv(SETTING, server.new_database())
    (tmp_path / "home" / "dagster").mkdir(parents=True)
    (tmp_path / "home" / "dagster" / "dagster.yaml").write_text(DAGSTER_YAML + settings_of_the_page())
    return tmp_path / "home"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=needs_postgres)])
def home(request, tmp_path, monkeypatch):
    """A home for each of the two databases."""
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    return request.getfixturevalue("on_postgres") if request.param == "postgres" else tmp_path / "home"
