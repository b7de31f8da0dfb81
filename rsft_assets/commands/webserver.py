"""`rsft dev`: Dagster's own UI and daemon, on loopback, with a database that is kept."""

import os
import signal
import sys
from typing import NoReturn

from rsft_assets.runs.instance import dagster_home, open_instance
from rsft_assets.steps.records.store import HOME_SETTING, Store


def run_webserver(host: str, port: int) -> NoReturn:
    """Become `dagster dev`, so that Ctrl-C and a scheduler's signals reach it directly."""
    store = Store.from_env()
    with open_instance(store):
        # Opening it ends the runs of processes that were killed.
        pass
    environment = {**os.environ, HOME_SETTING: str(store.home), "DAGSTER_HOME": str(dagster_home(store))}
    command = [sys.executable, "-m", "dagster", "dev", "-m", "rsft_assets.definitions", "-h", host, "-p", str(port)]
    # A shell starts background jobs with interrupts ignored; `dagster dev` would then stop for no signal.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execve(sys.executable, command, environment)
