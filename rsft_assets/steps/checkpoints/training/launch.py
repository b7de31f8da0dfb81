"""Start a job's training processes on this machine, or take part where torchrun has started them already.

    with trainer(folder, placement) as train_to_the_end:
        train_to_the_end(prepare_a_job())       # while it is prepared, the processes load their libraries

One process trains in this one, unless other runs train beside it. Several are started here, all but the first with
a log of their own; the first failure ends the others, and its message becomes ours. A signal to stop is passed on
and waited for. Where runs train side by side, each in one process, that process trains the next run as well.

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
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rsft_assets.specs.errors import SpecError, StepError
from rsft_assets.specs.placement import Placement
from rsft_assets.steps.checkpoints.training.job import JOB_FILE, MEETING_POINT, Job, OutOfMemory
from rsft_assets.steps.processes.child import Child, end
from rsft_assets.steps.processes.ending import leave
from rsft_assets.steps.processes.hardware import gpus
from rsft_assets.steps.processes.parent_death import PARENT_SETTING, end_with_parent
from rsft_assets.steps.processes.program import TRY_AGAIN, Stopped
from rsft_assets.steps.records.manifest import write_json
from rsft_assets.steps.records.provenance import publish_for

log = logging.getLogger(__name__)
_GRACE_SECONDS = 20.0
_LOOK_EVERY_SECONDS = 0.05
_LOG_LINES = 8
_DONE = b"done\n"


@dataclass(frozen=True)
class RunSlot:
    """A place where one run after another is trained, beside others."""

    stop: threading.Event
    """Set where all of them are to stop."""
    preparing: threading.Lock
    """Held while one of them prepares its training."""
    gpu: str | None = None
    """The only devices that its processes see, as CUDA_VISIBLE_DEVICES names them; None leaves what is visible."""
    kept: list["TrainingProcess"] = field(default_factory=list)
    """The process that has trained here, and waits for the next run."""

    def close(self) -> None:
        """End the process that waits."""
        if self.kept:
            _dismiss([self.kept.pop()])


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
    if slot is not None and slot.kept and slot.kept[0].poll() is None:
        processes = [slot.kept.pop()]
    else:
        processes = [TrainingProcess(folder, placement, rank, slot) for rank in range(placement.processes)]

    def train_to_the_end(job: Job) -> None:
        path = job.write()
        for process in processes:
            process.give(path)
        try:
            _watch(processes, job, slot)
        except (Stopped, KeyboardInterrupt) as stop:
            # Saving needs all of them: if one has ended, the others would wait for it.
            end(processes, seconds=_GRACE_SECONDS, after_first=True)
            raise Stopped(str(stop) or "Ctrl-C") from None
        if slot is not None and len(processes) == 1:
            slot.kept.append(processes.pop())
        _dismiss(processes)

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
    from rsft_assets.steps.checkpoints.training.cards import set_determinism
    from rsft_assets.steps.checkpoints.training.engine import device_of, join_processes

    device = device_of(placement)
    set_determinism(placement, device)
    join_processes(device, meeting_point)


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


class TrainingProcess(Child):
    """One training process: it is given jobs, and answers when each has ended well."""

    def __init__(self, folder: Path, placement: Placement, rank: int, slot: RunSlot | None) -> None:
        environment = {
            **os.environ,
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(placement.processes),
            "OMP_NUM_THREADS": str(placement.threads),
        }
        if slot is not None and slot.gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = slot.gpu
        if sys.platform == "linux" and not _uses_gpus(placement):
            # The machine's name need not resolve, and its own processes need no network.
            environment.setdefault("GLOO_SOCKET_IFNAME", "lo")
        command = [sys.executable, "-m", "rsft_assets.steps.checkpoints.training.launch"]
        # The first process logs for all, in this process's log.
        with (folder / f"process-{rank}.log").open("wb") if rank else contextlib.nullcontext() as own:
            pipe = subprocess.PIPE
            super().__init__(command, env=environment, stdin=pipe, stdout=pipe, stderr=own)

    def give(self, job: Path) -> None:
        """Let it train this job; of a process that has ended, the exit status tells."""
        assert self.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.stdin.write(os.fsencode(job) + b"\n")
            self.stdin.flush()

    def has_answered(self) -> bool:
        """Whether its job has ended well."""
        assert self.stdout is not None
        return bool(select.select([self.stdout], [], [], 0)[0]) and self.stdout.readline() == _DONE


def _uses_gpus(placement: Placement) -> bool:
    return placement.device != "cpu" and bool(gpus())


def _dismiss(processes: list[TrainingProcess]) -> None:
    """Let processes end that have trained all they were given."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
    end(processes, seconds=_GRACE_SECONDS, ask=False)


def _watch(processes: list[TrainingProcess], job: Job, slot: RunSlot | None) -> None:
    """Wait until all have trained the job, or one has failed."""
    at_work = list(processes)
    while True:
        if slot is not None and slot.stop.is_set():
            raise Stopped("the runs beside it")
        for process in list(at_work):
            # Asked before its answer is read: it may answer and end in between.
            over = process.poll() is not None
            if process.has_answered():
                at_work.remove(process)
            elif over:
                _raise_failure(processes, processes.index(process), job)
        if not at_work:
            return
        time.sleep(_LOOK_EVERY_SECONDS)


def _raise_failure(processes: list[TrainingProcess], rank: int, job: Job) -> None:
    # The process that ended first may not have the cause: others fail when it ends.
    end(processes, seconds=_GRACE_SECONDS)
    if all(process.returncode in (TRY_AGAIN, -signal.SIGTERM) for process in processes):
        raise Stopped("a signal to the training processes")
    own = job.folder / f"error-{rank}.json"
    for path in sorted(job.folder.glob("error-*.json"), key=lambda path: path != own):
        facts = json.loads(path.read_text(encoding="utf-8"))
        raise (OutOfMemory if facts["out_of_memory"] else StepError)(facts["message"])
    on = f" on its GPU {rank}" if _uses_gpus(job.placement) else ""
    code = processes[rank].returncode
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
    details = "Its last log lines are above"
    if rank:
        path = job.folder / f"process-{rank}.log"
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
        details = "\n".join([f"Its log: {path}", *lines])
    raise StepError(
        f"training process {rank} of {len(processes)}{on} ended with {how}; the last saved state is kept: run the same "
        f"command again to resume from it. {details}"
    )


def main() -> int:
    """One training process: it reads the paths of job files, one a line, and trains each; 0 if all ended well."""
    # SIGTERM ends this process unless the loop runs and has a state to save: no handler of ours would be called while
    # processes wait for each other.
    end_with_parent(int(os.environ[PARENT_SETTING]))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    # What libraries print goes to stderr: stdout is for answers only.
    answers = os.dup(1)
    os.dup2(2, 1)
    from rsft_assets.steps.checkpoints.training.process import load_libraries, run_job

    load_libraries()
    rank = os.environ["RANK"]
    for line in sys.stdin.buffer:
        job = Job.read(Path(os.fsdecode(line.rstrip(b"\n"))))
        try:
            publish_for(job.command)
            run_job(job)
        except (StepError, SpecError) as error:
            facts = {"message": str(error), "out_of_memory": isinstance(error, OutOfMemory)}
            write_json(job.folder / f"error-{rank}.json", facts)
            log.error("%s", error)
            return 1
        except (Stopped, KeyboardInterrupt) as error:
            log.warning("stopped: %s", error)
            return TRY_AGAIN
        os.write(answers, _DONE)
    return 0


if __name__ == "__main__":
    leave(main())
