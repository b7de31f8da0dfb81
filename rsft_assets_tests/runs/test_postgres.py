"""Dagster's records on a Postgres server: a server that is wrong or down is named, and nothing finished is lost."""

import os
import signal

import pytest
from click.testing import CliRunner

from rsft_assets.commands import cli
from rsft_assets.runs.instance import open_instance
from rsft_assets.specs.errors import StepError
from rsft_assets.steps.records.store import Store
from rsft_assets_tests.postgres_rig import PASSWORD, SETTING, needs_postgres
from rsft_assets_tests.runs.slow_cell import CELL, OTHER_CELL, materialize, stop_in_the_middle
from rsft_assets_tests.test_kill import at_work_in

pytestmark = needs_postgres
NO_URL = [
    "",
    "nonsense",
    "postgres://u:hush@h/d",
    "mysql://u:hush@h/d",
    "postgresql://u:hush@h/d",
    "postgresql+psycopg2://u:hush@h:x/d",
]
AT_IN_PASSWORD = "postgresql+psycopg2://u:hu@sh@h:5432/d"


def open_at(home):
    with open_instance(Store(home)) as instance:
        return instance.get_runs()


def test_settings_stay_those_of_sqlite(on_postgres):
    with open_instance(Store(on_postgres)) as instance:
        assert type(instance.run_storage).__name__ == "PostgresRunStorage"
        assert instance.run_retries_enabled and not instance.run_retries_retry_on_asset_or_op_failure
        assert instance.global_op_concurrency_default_limit == 1
    assert not (on_postgres / "dagster" / "history").exists()


@pytest.mark.parametrize("url", [*NO_URL, AT_IN_PASSWORD])
def test_what_is_no_url_is_named_without_its_password(on_postgres, monkeypatch, url):
    monkeypatch.setenv(SETTING, url)
    with pytest.raises(StepError, match=rf"{SETTING} is not .* set it to postgresql.psycopg2://USER") as refused:
        open_at(on_postgres)
    assert "hu" not in str(refused.value)


def test_without_the_package_the_remedy_is_to_install_it(on_postgres, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(StepError, match=r"pip install 'rsft_assets\[postgres\]'"):
        open_at(on_postgres)


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ["port", "password", "database"])
def test_a_server_that_refuses_is_named_without_the_password(on_postgres, server, monkeypatch, wrong):
    url = os.environ[SETTING]
    changed = {"port": (f":{server.port}/", ":1/"), "password": (PASSWORD, "other"), "database": ("dagster_", "none_")}
    monkeypatch.setenv(SETTING, url.replace(*changed[wrong]))
    port = 1 if wrong == "port" else server.port
    with pytest.raises(StepError, match=rf"database rsft@127.0.0.1:{port}/\w+ cannot be used .*{SETTING}") as refused:
        open_at(on_postgres)
    assert PASSWORD not in str(refused.value) and "other" not in str(refused.value)
    monkeypatch.setenv("RSFT_HOME", str(on_postgres))
    said = CliRunner().invoke(cli.rsft, ["doctor"])
    assert (said.exit_code, f"dagster: Dagster's database rsft@127.0.0.1:{port}" in said.output) == (1, True)
    monkeypatch.setenv(SETTING, url)
    said = CliRunner().invoke(cli.rsft, ["doctor"])
    assert (said.exit_code, f"dagster: rsft@127.0.0.1:{server.port}/dagster" in said.output) == (0, True), said.output


@pytest.mark.slow
def test_a_server_that_stops_in_the_middle_loses_nothing(on_postgres, server, tmp_path):
    said = tmp_path / "said"
    command = materialize(on_postgres, said, OTHER_CELL, CELL)
    step = stop_in_the_middle(on_postgres)
    server.stop()
    try:
        os.kill(step, signal.SIGCONT)
        assert command.wait(300) == 1, said.read_text()
    finally:
        server.start()
    words = said.read_text()
    assert f"rsft: Dagster's database rsft@127.0.0.1:{server.port}/dagster" in words, words
    assert "does not answer; trying again" in words and "Retrying" not in words
    assert "Traceback" not in words and PASSWORD not in words
    assert at_work_in(on_postgres) == []

    finished = len(list(Store(on_postgres).outputs()))
    again = materialize(on_postgres, said, OTHER_CELL, CELL)
    assert again.wait(300) == 0, said.read_text()
    assert finished >= 1 and f"{finished} kept" in said.read_text()
    with open_instance(Store(on_postgres)) as instance:
        states = sorted(run.status.value for run in instance.get_runs())
        assert states == ["FAILURE"] + ["SUCCESS"] * 3
        assert len(instance.all_asset_keys()) == 2
