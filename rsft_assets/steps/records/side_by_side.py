"""Processes that do parts of a step at the same time and end with it.

with step_pool(2, "a scoring process died; finished scores are kept, run it again") as pool:
    for future in as_completed([pool.submit(work, part) for part in parts]): ...
"""

import atexit
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from rsft_assets.specs.errors import StepError
from rsft_assets.steps.processes.child import end, spawn_context
from rsft_assets.steps.processes.ending import end_now
from rsft_assets.steps.processes.program import log_to_stderr
from rsft_assets.steps.records.provenance import command, publish_for

_GRACE_SECONDS = 20.0


@contextmanager
def step_pool(processes: int, if_one_dies: str) -> Iterator[ProcessPoolExecutor]:
    """The pool. After an error inside, nobody waits for what is left; `if_one_dies` are the words of that error."""
    with ProcessPoolExecutor(processes, mp_context=spawn_context(), initializer=_begin, initargs=(command(),)) as pool:
        try:
            yield pool
        except BaseException as error:
            end(multiprocessing.active_children(), seconds=_GRACE_SECONDS)
            if isinstance(error, BrokenProcessPool):
                raise StepError(if_one_dies) from error
            raise


def _begin(step_command: str) -> None:
    # Registered first, so that it runs last.
    atexit.register(end_now, 0)
    log_to_stderr()
    publish_for(step_command)
