"""`rsft dev`: Dagster's own UI and daemon and the page server, on loopback, with a database that is kept."""

import os
import signal
import sys
from typing import NoReturn

from rsft_assets.defs.pool import GPU_POOL, follow_slots
from rsft_assets.runs.dead_runs import closed_pool
from rsft_assets.runs.instance import dagster_home, open_instance
from rsft_assets.specs.errors import SpecError, StepError
from rsft_assets.specs.placement import load_placement
from rsft_assets.steps.processes.child import Child
from rsft_assets.steps.records.store import HOME_SETTING, Store


def run_webserver(host: str, port: int) -> NoReturn:
    """Become `dagster dev`, so that Ctrl-C and a scheduler's signals reach it directly."""
    store = Store.from_env()
    with open_instance(store) as instance:
        # Opening it ends the runs of processes that were killed.
        if closed := closed_pool(instance, [GPU_POOL]):
            print(closed, file=sys.stderr)
        try:
            follow_slots(instance, load_placement(), store.home)
        except (StepError, SpecError) as error:
            print(error, file=sys.stderr)
    environment = {**os.environ, HOME_SETTING: str(store.home), "DAGSTER_HOME": str(dagster_home(store))}
    # It ends with this process, which `dagster dev` becomes.
    pages = [sys.executable, "-m", "rsft_assets.commands.pages", "--host", host, "--port", str(port + 1)]
    Child(pages, env=environment)
    print(f"Dagster's UI: http://{host}:{port}", flush=True)
    # `dagster dev` warns that `dg dev` supersedes it; that one refuses a module without a project.
    quiet = ["-W", "ignore:Function `dev_command` is superseded"]
    served = ["dagster", "dev", "-m", "rsft_assets.definitions", "-h", host, "-p", str(port)]
    command = [sys.executable, *quiet, "-m", *served]
    # A shell starts background jobs with interrupts ignored; `dagster dev` would then stop for no signal.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execve(sys.executable, command, environment)
