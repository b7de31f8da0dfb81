"""Dagster's own database and settings, kept beside the outputs unless DAGSTER_HOME says otherwise."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import yaml

from rsft_assets.defs.dagster_private import CheckError
from rsft_assets.runs.database import dagster_folder, database_errors, database_words, postgres
from rsft_assets.runs.dead_runs import end_dead_runs
from rsft_assets.specs.errors import StepError, lost_home
from rsft_assets.steps.records.locks import exclusive
from rsft_assets.steps.records.store import Store

_SETTINGS_ERRORS = (dg.DagsterError, CheckError, yaml.YAMLError, OSError, ValueError, TypeError, ImportError)
"""What Dagster raises if it cannot read or apply its settings."""
DAGSTER_YAML = """\
# Written by rsft once; edit it freely.
nux:
  enabled: false
telemetry:
  enabled: false
run_retries:
  enabled: true
  max_retries: 2
  # Only a run whose process died is started again. A step that failed says why, and would fail again.
  retry_on_asset_or_op_failure: false
run_monitoring:
  enabled: true
  # Without this, a cancelled run never releases its slot of a pool.
  free_slots_after_run_end_seconds: 60
concurrency:
  runs:
    max_concurrent_runs: 4
  pools:
    # One run at a time uses the accelerator; raise it in the UI under Deployment > Concurrency. The pool `gpu` also
    # limits judges and the code sandbox: a score holds its slot until it is graded.
    default_limit: 1
retention:
  schedule:
    purge_after_days: 30
  sensor:
    purge_after_days:
      skipped: 1
      failure: 30
      success: 30
"""


def dagster_home(store: Store) -> Path:
    """Dagster's folder, made with our settings."""
    home = dagster_folder(store)
    settings = home / "dagster.yaml"
    if set("?%") & set(str(home)):
        # It makes a URL of the path.
        raise StepError(f"Dagster cannot use {home}: its path has a ? or a %; set DAGSTER_HOME to another folder")
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not settings.exists():
            aside = home / f".dagster.yaml.{os.getpid()}"
            aside.write_text(DAGSTER_YAML, encoding="utf-8")
            aside.rename(settings)
    except OSError as error:
        raise StepError(
            lost_home(store.home, error)
            or f"Dagster's folder {home} cannot be used ({error.strerror}); set DAGSTER_HOME to a folder, or unset it"
        ) from error
    return home


def _get_instance() -> dg.DagsterInstance:
    try:
        return dg.DagsterInstance.get()
    except _SETTINGS_ERRORS as error:
        cause = " ".join(str(error).split())[:300]
        raise StepError(
            f"Dagster cannot start with {os.environ['DAGSTER_HOME']}/dagster.yaml ({cause}); correct that file, or "
            "delete it and a new one is written"
        ) from error


@contextlib.contextmanager
def open_instance(store: Store) -> Iterator[dg.DagsterInstance]:
    """The instance that the commands and the UI share."""
    store.check_writable()
    os.environ["DAGSTER_HOME"] = str(dagster_home(store))
    server = postgres(dagster_folder(store))
    with contextlib.ExitStack() as stack:
        # Two processes that create Dagster's database at once would both fail.
        with exclusive(store.home / ".dagster.lock", "Dagster's database"):
            try:
                if server:
                    server.ask()
                    stack.enter_context(server.named_while_away())
                instance = stack.enter_context(_get_instance())
                end_dead_runs(instance)
                instance.all_asset_keys()
            except database_errors() as error:
                raise StepError(database_words(error)) from error
        yield instance
