"""What a machine has, without importing torch, and whether a model can run on it."""

import functools
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.hub import Hub
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.placement import Placement
from rsft_assets.specs.study import Study

GIB = 2**30
_TRAINING_BYTES = 18  # bf16 weights; fp32 gradients, master weights and two Adam moments
_SCORING_BYTES = 2
_IDLE_SHARE = 0.1
"""Of a GPU's memory, which drivers and desktops use. An engine takes nine tenths and fails where that is not free."""
_GROUPS, _GROUPS_OF_PROCESS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_PROCESS_BYTES = 3 * GIB // 2
"""Of a process that trains or scores a model made for CPUs: libraries, the model, its working memory."""


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a step can use. A launcher answers for its machines, a step for its own."""

    place: str = "this machine"
    """Its name in messages."""
    gpus: tuple[tuple[str, int], ...] = ()
    """(name, bytes of memory) of each GPU."""
    cores: int
    memory: int
    """Bytes that a process can still have."""
    slots: int = 1
    """Steps at the same time, each with the devices above."""
    machines: tuple[str, ...] = ()
    """Each machine of several, in words."""
    node_sizes: tuple[tuple[int, int], ...] = ()
    """(cores, GPUs) of each of several machines; () for one."""
    home_visible: bool = True
    """Whether a step reads and writes the home of this process."""


def this_machine() -> Capabilities:
    """What a process started here can use."""
    return Capabilities(gpus=gpus(), cores=cores(), memory=free_memory())


@functools.cache
def gpus() -> tuple[tuple[str, int], ...]:
    """(name, bytes of memory) of each NVIDIA GPU; () where there is none, or where all are hidden."""
    return tuple((name, int(memory) * 2**20) for name, memory in _ask_gpus("memory.total"))


def gpus_in_use() -> tuple[str, ...]:
    """Of each GPU that is not hidden, in words how much of it is in use; empty if little is, or it does not say."""
    rows = _ask_gpus("index", "memory.total", "memory.used", only=os.environ.get("CUDA_VISIBLE_DEVICES", ""))
    return tuple(
        f"GPU {index} ({name}, {int(used) / 1024:.0f} of {int(total) / 1024:.0f} GiB in use)"
        if used.isdigit() and int(used) > _IDLE_SHARE * int(total)
        else ""
        for name, index, total, used in rows
    )


def _ask_gpus(*fields: str, only: str = "") -> list[list[str]]:
    """The name and these fields of each GPU, or of those with these indices; sizes in MiB."""
    tool = shutil.which("nvidia-smi")
    if tool is None or os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return []
    query = [f"--query-gpu={','.join(('name', *fields))}", "--format=csv,noheader,nounits"]
    query += [f"--id={only}"] if only else []
    try:
        listed = subprocess.run([tool, *query], capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    rows = (line.rsplit(",", len(fields)) for line in listed.splitlines() if "," in line)
    return [[word.strip() for word in row] for row in rows]


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory() -> int:
    """Bytes of this machine's own memory that a process can still have, within the limits of a container or job."""
    return max(0, min(_limits()))


def _available() -> int:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _limits() -> Iterator[int]:
    """What the machine has, and each limited control group of this process; file pages that can go count as left."""
    yield _available()
    for line in _GROUPS_OF_PROCESS.read_text().splitlines() if _GROUPS_OF_PROCESS.is_file() else ():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = _GROUPS / "memory" if controllers else _GROUPS
        names = ("limit_in_bytes", "usage_in_bytes") if controllers else ("max", "current")
        place = root / path.strip("/")
        # A container may see its own group as the root, under whatever path.
        for folder in (place, *(one for one in place.parents if one.is_relative_to(root))):
            try:
                limit, used = (int((folder / f"memory.{name}").read_text()) for name in names)
                stat = dict(one.split() for one in (folder / "memory.stat").read_text().splitlines())
            except (OSError, ValueError):
                # Not there, or without a limit.
                continue
            yield limit - used + int(stat["total_inactive_file" if controllers else "inactive_file"])


def how_many_at_once(placement: Placement, processes: int, machine: Capabilities, *, needs_gpu: bool) -> int:
    """How many pieces of work, each of so many processes, run at the same time. Without a number in the placement: as
    many as cores and memory allow for a model made for CPUs, else one.
    """
    if placement.runs:
        return placement.runs
    if needs_gpu or (placement.device != "cpu" and machine.gpus):
        return 1
    return max(1, min(machine.cores // placement.threads, machine.memory // _PROCESS_BYTES) // processes)


def memory_needed(parameters: int, stage: str) -> int:
    """Bytes of weights and optimizer state, activations not counted."""
    return parameters * (_TRAINING_BYTES if stage == "checkpoints" else _SCORING_BYTES)


def refuse_without_gpu(study: Study, ref: Ref, placement: Placement, there: Capabilities) -> None:
    """A `StepError` before any work where `ref` needs a GPU and there is none, or a small one, where it would run."""
    if placement.device == "cpu" or (ref.stage != "checkpoints" and placement.engine == "endpoint"):
        return
    if there.gpus:
        _refuse_small_gpus(study, ref, placement, there)
        return
    if ref.stage == "checkpoints" and (ref.step == 0 or study.get("runs", ref.run).adopt):
        return
    if ref.stage in ("checkpoints", "scores"):
        model = study.get("models", ref.name)
        if model.runs_on_gpu:
            verb = "training" if ref.stage == "checkpoints" else "scoring"
            size = memory_needed(model.parameters, ref.stage) / GIB
            need = f"about {size:.{0 if size >= 10 else 1}f} GiB of GPU memory"
            raise StepError(f"{verb} {ref.name} needs {need} and {there.place} has no GPU. {_remedy(ref.name)}")
    if ref.stage == "responses":
        pool = study.get("pools", ref.name)
        if isinstance(pool.teacher.origin, Hub) and pool.adopted is None:
            raise StepError(
                f"sampling from teacher {pool.teacher.name} needs a GPU and {there.place} has none. "
                f"{_remedy(pool.teacher.name)}"
            )


def _refuse_small_gpus(study: Study, ref: Ref, placement: Placement, there: Capabilities) -> None:
    """Where an engine's GPUs cannot hold the weights. What training needs, its own step estimates."""
    if ref.stage != "scores":
        return
    need = memory_needed(study.get("models", ref.name).parameters, ref.stage)
    have = placement.tensor_parallel * max(memory for _, memory in there.gpus)
    if need > have:
        raise StepError(
            f"the weights of {ref.name} take {need / GIB:.0f} GiB, and {placement.tensor_parallel} GPUs of "
            f"{there.place} have {have / GIB:.0f} GiB; raise `tensor_parallel` of this model in the placement"
        )


def _remedy(model: str) -> str:
    return (
        "What works without one: the nano study (`rsft demo`, `rsft materialize 'scores/nano-300k/*' --upstream`); "
        "on a GPU node this very command (rsft_assets/docs/howto_one_gpu.md); to try it on the CPU all the same, set "
        f'device = "cpu" under [models."{model}"] in the file that RSFT_PLACEMENT names'
    )
