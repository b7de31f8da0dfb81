"""Several runs trained at the same time on one machine: each in other processes, each on a GPU or a core.

    side_by_side(names, at_once, train_one)     # train_one(name, beside) -> outputs

All end before this returns. If a run fails, the others finish, and the error names it at the end. On a signal to stop,
and on an unexpected error, which is raised as it is, each run saves its state.
"""

import logging
import os
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.placement import Placement
from rsft_assets.steps.checkpoints.training.launch import RunSlot
from rsft_assets.steps.processes.hardware import gpus
from rsft_assets.steps.processes.program import Stopped
from rsft_assets.steps.records.store import Output

log = logging.getLogger(__name__)
TrainOne = Callable[[str, RunSlot], list[Output]]


def side_by_side(names: Sequence[str], at_once: int, placement: Placement, train_one: TrainOne) -> list[Output]:
    """Every output, in the order of the names; raises one `StepError` that names each run that failed."""
    stop, preparing = threading.Event(), threading.Lock()
    slots = [RunSlot(stop, preparing, device) for device in _devices(placement, at_once)]
    free: queue.SimpleQueue[RunSlot] = queue.SimpleQueue()
    for slot in slots:
        free.put(slot)

    def one(name: str) -> list[Output]:
        slot = free.get()
        try:
            if stop.is_set():
                raise Stopped("the runs beside it")
            return train_one(name, slot)
        finally:
            free.put(slot)

    log.info("%d runs, %d at a time", len(names), at_once)
    futures: dict[Future[list[Output]], str] = {}
    with ThreadPoolExecutor(max_workers=at_once) as pool:
        failed: dict[str, str] = {}
        try:
            futures |= {pool.submit(one, name): name for name in names}
            for future in as_completed(futures):
                error = future.exception()
                if isinstance(error, StepError):
                    failed[futures[future]] = str(error)
                    log.error("%s: %s", futures[future], error)
                elif error is not None:
                    raise error
        except BaseException:
            # Threads wait for processes that save their state.
            stop.set()
            raise
        finally:
            wait(futures)
            # While the threads live: a process ends with the thread that started it.
            for slot in slots:
                slot.close()
    if failed:
        raise StepError("\n".join(f"{name}: {failed[name]}" for name in names if name in failed))
    return [output for future in futures for output in future.result()]


def _devices(placement: Placement, at_once: int) -> list[str | None]:
    """Sets of GPUs, as CUDA names them, one for each run at work; None leaves what is visible as it is."""
    devices = () if placement.device == "cpu" else gpus()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    # Set but empty, it hides them all.
    if not devices or visible == "" or at_once == 1:
        return [None] * at_once
    names = visible.split(",") if visible else [str(number) for number in range(len(devices))]
    width = placement.processes
    if at_once * width > len(names):
        raise StepError(
            f"{at_once} runs of {width} processes need {at_once * width} GPUs and {len(names)} are visible; lower "
            "`runs` or `processes` in the placement"
        )
    return [",".join(names[place * width : (place + 1) * width]) for place in range(at_once)]
