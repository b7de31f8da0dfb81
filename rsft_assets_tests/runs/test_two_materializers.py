"""Two people over one home and one database of Dagster: a cell is made once, and nobody waits without need."""

import os
import signal
import socket

import pytest

from rsft_assets.runs.instance import open_instance
from rsft_assets.steps.records.store import Store
from rsft_assets_tests.runs.slow_cell import CELL, OTHER_CELL, await_, materialize, stop_in_the_middle
from rsft_assets_tests.runs.test_other_hosts import ON_ANOTHER_HOST

ELSEWHERE = (*ON_ANOTHER_HOST, "sh", "-c", 'hostname elsewhere && exec "$@"', "sh")


@pytest.mark.slow
def test_a_cell_is_made_once_and_other_cells_go_on(home, tmp_path):
    said = {name: tmp_path / name for name in ("first", "second", "third")}
    first = materialize(home, said["first"], CELL)
    step = stop_in_the_middle(home)
    second = materialize(home, said["second"], CELL, host=ELSEWHERE)
    waiting = f"{CELL} is locked by process {step} on {socket.gethostname()} "
    await_(lambda: waiting in said["second"].read_text())

    third = materialize(home, said["third"], OTHER_CELL, host=ELSEWHERE)
    assert third.wait(120) == 0, said["third"].read_text()
    assert "1 made" in said["third"].read_text() and second.poll() is None and first.poll() is None

    os.kill(step, signal.SIGCONT)
    assert [process.wait(300) for process in (first, second)] == [0, 0], said["second"].read_text()
    assert "1 made" in said["first"].read_text() and "1 kept" in said["second"].read_text()
    assert len(list((home / CELL).glob("*/manifest.json"))) == 1
    with open_instance(Store(home)) as instance:
        assert [run.status.value for run in instance.get_runs()] == ["SUCCESS"] * 3
