"""`rsft dev`: Dagster's own UI and daemon, on loopback, with a database that is kept."""

import os
import subprocess
import sys

from rsft_assets.defs.instance import dagster_home
from rsft_assets.steps.records.store import HOME_SETTING, Store


def run_webserver(host: str, port: int) -> int:
    """Run `dagster dev` until it is stopped; returns its exit status."""
    store = Store.from_env()
    store.check_writable()
    environment = {**os.environ, HOME_SETTING: str(store.home), "DAGSTER_HOME": str(dagster_home(store))}
    command = [sys.executable, "-m", "dagster", "dev", "-m", "rsft_assets.definitions", "-h", host, "-p", str(port)]
    process = subprocess.Popen(command, env=environment)
    try:
        return process.wait()
    except KeyboardInterrupt:
        return process.wait()
