"""The sandbox's limits are of CPU time, with wall time as a backstop: outcomes do not depend on the load."""

from dataclasses import replace

import pytest

from rsft_assets.steps.scores.sandbox.pool import SandboxPool
from rsft_assets_tests.busy_machine import busy_machine
from rsft_assets_tests.steps.scores.grading.test_code import LIMITS, needs_isolation, run

BURN = "import time\nwhile time.process_time() < {}: pass\nprint('fine')"


@needs_isolation
@pytest.mark.parametrize(
    ("code", "status"),
    [
        pytest.param("import time\ntime.sleep(3)\nprint('fine')", "passed", marks=pytest.mark.slow),
        (BURN.format(0.5), "passed"),
        (BURN.format(2), "time"),
        (
            "import threading, time\ndef burn():\n  while time.thread_time() < 0.7: pass\n"
            "threads = [threading.Thread(target=burn) for _ in range(3)]\n"
            "for t in threads: t.start()\nfor t in threads: t.join()\nprint('fine')",
            "time",
        ),
    ],
)
def test_the_limit_is_cpu_time_of_all_threads(code, status):
    with SandboxPool(workers=1, limits=replace(LIMITS, seconds=1.0)) as sandbox:
        assert run(sandbox, code).status == status


@needs_isolation
def test_a_program_that_waits_for_ever_ends_by_wall_time():
    with SandboxPool(workers=1, limits=replace(LIMITS, wall_seconds=1.0)) as sandbox:
        assert run(sandbox, "import threading\nthreading.Event().wait()").status == "time"


@needs_isolation
@pytest.mark.slow
def test_outcomes_are_the_same_idle_and_on_a_busy_machine():
    with SandboxPool(workers=1, limits=replace(LIMITS, seconds=1.0)) as sandbox:

        def outcomes():
            return [run(sandbox, code).status for code in (BURN.format(0.5), "while True: pass", BURN.format(0.1))]

        idle = outcomes()
        with busy_machine(4):
            busy = outcomes()
    assert idle == busy == ["passed", "time", "passed"]
