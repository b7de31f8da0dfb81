"""Start a job's training processes on this machine, or take part where torchrun has started them already.

    with trainer(folder, placement) as train_to_the_end:
        train_to_the_end(prepare_a_job())       # while it is prepared, the processes load their libraries

One process trains in this one, unless other runs train beside it. Several are started here, all but the first with
a log of their own; the first failure ends the others, and its message becomes ours. A signal to stop is passed on
and waited for.

On several machines, start the step itself under torchrun on each, with RSFT_HOME on a shared disk; the first
process then plans, and the others follow it:

    torchrun --nnodes 2 --nproc-per-node 8 … -m rsft_assets.steps.checkpoints.train checkpoints/… --partition …

Why not torch's elastic agent (tried with torch 2.13): it kills processes a fixed time after SIGTERM, in the middle of
a save; killed with -9, it leaves them running; it replaces the step's signal handlers, and in a thread, which each of
several runs has, passes no signal on; and it needs torch, 3 s, before it starts the first process.
"""

import contextlib
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rsft_assets.specs.errors import SpecError, StepError
from rsft_assets.specs.placement import Placement
from rsft_assets.steps.checkpoints.training.job import JOB_FILE, MEETING_POINT, Job, OutOfMemory
from rsft_assets.steps.processes.child import Child, end
from rsft_assets.steps.processes.hardware import gpus
from rsft_assets.steps.processes.parent_death import PARENT_SETTING, end_with_parent
from rsft_assets.steps.processes.program import TRY_AGAIN, Stopped
from rsft_assets.steps.records.manifest import write_json
from rsft_assets.steps.records.provenance import publish_for

log = logging.getLogger(__name__)
_GRACE_SECONDS = 20.0
_LOOK_EVERY_SECONDS = 0.05
_LOG_LINES = 8


@dataclass(frozen=True)
class RunSlot:
    """The place of one run among several that train side by side."""

    stop: threading.Event
    """Set where all of them are to stop."""
    preparing: threading.Lock
    """Held while one of them prepares its training."""
    gpu: str | None = None
    """The only devices that its processes see, as CUDA_VISIBLE_DEVICES names them; None leaves what is visible."""


@contextlib.contextmanager
def trainer(folder: Path, placement: Placement, slot: RunSlot | None = None) -> Iterator[Callable[[Job], None]]:
    """What trains a job of this folder to its end; failures and stops are raised there."""
    if under_torchrun():
        yield _lead
        return
    if placement.processes == 1 and slot is None:
        from rsft_assets.steps.checkpoints.training.process import run_job

        yield run_job
        return
    folder.mkdir(parents=True, exist_ok=True)
    for old in (folder / MEETING_POINT, folder / JOB_FILE, *folder.glob("error-*.json")):
        old.unlink(missing_ok=True)
    processes = [_start(folder, placement, rank, slot) for rank in range(placement.processes)]

    def train_to_the_end(job: Job) -> None:
        job.write()
        try:
            _watch(processes, job, slot)
        except (Stopped, KeyboardInterrupt) as stop:
            # Saving needs all of them: if one has ended, the others would wait for it.
            end(processes, seconds=_GRACE_SECONDS, after_first=True)
            raise Stopped(str(stop) or "Ctrl-C") from None

    try:
        yield train_to_the_end
    finally:
        end(processes, seconds=_GRACE_SECONDS)


def under_torchrun() -> bool:
    """Whether this process is one of several that torchrun started."""
    return "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_follower() -> bool:
    """Whether another process of torchrun's does the planning."""
    return under_torchrun() and os.environ["RANK"] != "0"


def _tell(path: str | None) -> str | None:
    import torch.distributed as dist

    paths = [path]
    dist.broadcast_object_list(paths, src=0)
    return paths[0]


def _join(placement: Placement, meeting_point: Path) -> None:
    from rsft_assets.steps.checkpoints.training.engine import device_of, join_processes

    join_processes(device_of(placement), meeting_point)


def _lead(job: Job) -> None:
    from rsft_assets.steps.checkpoints.training.process import run_job

    _join(job.placement, job.folder / MEETING_POINT)
    _tell(str(job.write()))
    run_job(job)


def follow(placement: Placement, home: Path) -> None:
    """Train each job that the first process plans, until it has no more."""
    from rsft_assets.steps.checkpoints.training.process import run_job

    _join(placement, home / "unused")
    while path := _tell(None):
        run_job(Job.read(Path(path)))


def dismiss_followers(placement: Placement, home: Path) -> None:
    """Tell the processes that follow this one that nothing is left."""
    if under_torchrun():
        _join(placement, home / "unused")
        _tell(None)


def _start(folder: Path, placement: Placement, rank: int, slot: RunSlot | None) -> Child:
    environment = {
        **os.environ,
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(placement.processes),
        "OMP_NUM_THREADS": str(placement.threads),
    }
    if slot is not None and slot.gpu is not None:
        environment["CUDA_VISIBLE_DEVICES"] = slot.gpu
    if sys.platform == "linux" and (placement.device == "cpu" or not gpus()):
        # The machine's name need not resolve, and its own processes need no network.
        environment.setdefault("GLOO_SOCKET_IFNAME", "lo")
    command = [sys.executable, "-m", "rsft_assets.steps.checkpoints.training.launch", str(folder)]
    # The first process logs for all, in this process's log.
    with (folder / f"process-{rank}.log").open("wb") if rank else contextlib.nullcontext() as own:
        return Child(command, env=environment, stdout=own or 2, stderr=own)


def _watch(processes: list[Child], job: Job, slot: RunSlot | None) -> None:
    """Wait until all have ended well, or one has failed."""
    while True:
        if slot is not None and slot.stop.is_set():
            raise Stopped("the runs beside it")
        codes = [process.poll() for process in processes]
        failed = [rank for rank, code in enumerate(codes) if code not in (None, 0)]
        if failed:
            _raise_failure(processes, failed[0], job)
        if all(code == 0 for code in codes):
            return
        time.sleep(_LOOK_EVERY_SECONDS)


def _raise_failure(processes: list[Child], rank: int, job: Job) -> None:
    # The process that ended first may not have the cause: others fail when it ends.
    end(processes, seconds=_GRACE_SECONDS)
    if all(process.returncode in (TRY_AGAIN, -signal.SIGTERM) for process in processes):
        raise Stopped("a signal to the training processes")
    for path in sorted(job.folder.glob("error-*.json")):
        facts = json.loads(path.read_text(encoding="utf-8"))
        raise (OutOfMemory if facts["out_of_memory"] else StepError)(facts["message"])
    code = processes[rank].returncode
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
    details = "Its last log lines are above"
    if rank:
        path = job.folder / f"process-{rank}.log"
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
        details = "\n".join([f"Its log: {path}", *lines])
    raise StepError(
        f"training process {rank} of {len(processes)} ended with {how}; the last saved state is kept. {details}"
    )


def main(folder: Path) -> int:
    """One training process, from the job that its folder holds or will hold; the exit status says how it ended."""
    # SIGTERM ends this process unless the loop runs and has a state to save: no handler of ours would be called while
    # processes wait for each other.
    end_with_parent(int(os.environ[PARENT_SETTING]))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    from rsft_assets.steps.checkpoints.training.process import load_libraries, run_job

    load_libraries()
    while not (folder / JOB_FILE).exists():
        time.sleep(_LOOK_EVERY_SECONDS)
    rank = os.environ["RANK"]
    try:
        job = Job.read(folder / JOB_FILE)
        publish_for(job.command)
        run_job(job)
    except (StepError, SpecError) as error:
        write_json(
            folder / f"error-{rank}.json", {"message": str(error), "out_of_memory": isinstance(error, OutOfMemory)}
        )
        log.error("%s", error)
        return 1
    except (Stopped, KeyboardInterrupt) as error:
        log.warning("stopped: %s", error)
        return TRY_AGAIN
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
