"""Whether a run of another host has died is decided by its signs of life, not by the processes of this host."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from rsft_assets.runs.instance import open_instance
from rsft_assets.steps.records.store import Store
from rsft_assets_tests.runs.test_dead_runs import await_two, start

ON_ANOTHER_HOST = ["unshare", "--map-root-user", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
LOOK = """
import sys
from pathlib import Path
from rsft_assets.runs import dead_runs
from rsft_assets.runs.instance import open_instance
from rsft_assets.steps.records.store import Store
dead_runs.LOST_SECONDS = float(sys.argv[2])
with open_instance(Store(Path(sys.argv[1]))) as instance:
    print(sorted(run.status.value for run in instance.get_runs()))
"""


def seen_from_another_host(home, name, lost=900.0):
    """The states of the runs after a host with this name, and its own processes, has looked for dead ones."""
    script = ["sh", "-c", 'hostname "$0" && exec "$@"', name, sys.executable, "-c", LOOK, str(home), str(lost)]
    environment = {key: value for key, value in os.environ.items() if key != "DAGSTER_HOME"}
    done = subprocess.run([*ON_ANOTHER_HOST, *script], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_runs_of_another_host_live_until_they_give_no_sign_for_long(home):
    working = start(home, 600, how="ui")
    waiting = start(home, 600, how="ui", wait=False)
    with open_instance(Store(home)) as instance:
        await_two(instance)
        for name in ("elsewhere", socket.gethostname()):
            assert seen_from_another_host(home, name) == "['STARTED', 'STARTED']"
        for process in (working, waiting):
            process.send_signal(signal.SIGKILL)
            process.communicate()
        assert seen_from_another_host(home, "elsewhere") == "['STARTED', 'STARTED']", "it cannot know yet"
        assert seen_from_another_host(home, "elsewhere", lost=0.0) == "['FAILURE', 'FAILURE']"
        pool = instance.event_log_storage.get_concurrency_info("gpu")
        assert not pool.claimed_slots and not pool.pending_steps
