"""A machine that is busy with something else, for tests of limits."""

import contextlib
import os
import sys
from collections.abc import Iterator

from rsft_assets.steps.processes.child import Child, end
from rsft_assets.steps.processes.parent_death import PARENT_SETTING

_WORK = f"""
import os
from rsft_assets.steps.processes.parent_death import end_with_parent
end_with_parent(int(os.environ["{PARENT_SETTING}"]))
while True: pass
"""


@contextlib.contextmanager
def busy_machine(times: int) -> Iterator[None]:
    """This many computing processes for each processor; each in a session of its own, as the scheduler groups them."""
    count = times * len(os.sched_getaffinity(0))
    processes = [Child([sys.executable, "-c", _WORK]) for _ in range(count)]
    try:
        yield
    finally:
        end(processes, seconds=0.0)
