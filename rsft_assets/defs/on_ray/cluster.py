"""The nodes of a Ray cluster, and whether each can run our steps: asked and compared before anything starts."""

import contextlib
import fcntl
import os
import signal
import socket
import textwrap
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray._private.services import canonicalize_bootstrap_address, find_gcs_addresses
from ray.exceptions import GetTimeoutError, NodeDiedError, RayError, TaskUnschedulableError, WorkerCrashedError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rsft_assets.defs.on_ray import probe
from rsft_assets.defs.on_ray.pieces import in_words
from rsft_assets.specs.errors import StepError
from rsft_assets.specs.judges import JUDGES_SETTING
from rsft_assets.specs.lock import LOCK_SETTING, lock_path
from rsft_assets.specs.placement import PLACEMENT_SETTING, is_host_and_port
from rsft_assets.specs.study_file import STUDY_FILE_SETTING
from rsft_assets.steps.processes.ending import end_now
from rsft_assets.steps.processes.events import EVENTS_SETTING, say_note
from rsft_assets.steps.processes.hardware import GIB, Capabilities
from rsft_assets.steps.processes.parent_death import PARENT_SETTING
from rsft_assets.steps.processes.program import say_failed
from rsft_assets.steps.records.hub import MIRROR_SETTING
from rsft_assets.steps.records.store import HOME_SETTING

_ANSWER_SECONDS = 60.0
_CONNECT_SECONDS = 5.0
_JOIN_SECONDS = 120.0
"""Ray gives up after one minute where this machine is no node, and never where the head accepts but does not answer."""
_ADDRESS_SETTING = "RAY_ADDRESS"
LOOK_EVERY_SECONDS = 1.0
_HEAD_LOOKS = 5
_FILES = (STUDY_FILE_SETTING, PLACEMENT_SETTING, JUDGES_SETTING, MIRROR_SETTING)
_OURS = (HOME_SETTING, EVENTS_SETTING, PARENT_SETTING)
"""Settings that a launcher makes for its own steps."""
# When a worker ends, Ray kills its children with -9. Ours get SIGTERM then, and save (`parent_death`).
_RUNTIME = {"env_vars": {"RAY_kill_child_processes_on_worker_exit": "false"}}


@dataclass(frozen=True)
class Node:
    """A node with cores or GPUs for tasks."""

    id: str
    cpus: int
    gpus: int
    found: dict[str, Any]
    """What `probe.look` found there."""

    @property
    def host(self) -> str:
        return str(self.found["host"])

    def __str__(self) -> str:
        cards = Counter(f"{name} {memory / GIB:.0f} GiB" for name, memory in self.capabilities().gpus)
        kinds = f" ({', '.join(f'{count} x {card}' for card, count in cards.items())})" if cards else ""
        return f"{self.host}: {in_words(self.cpus, self.gpus)}{kinds}"

    def capabilities(self) -> Capabilities:
        """What a piece can have there. Of the visible GPUs, Ray gives the first."""
        gpus, cores, memory = self.found["gpus"][: self.gpus], self.found["cores"], self.found["memory"]
        return Capabilities(place=f"node {self.host}", gpus=gpus, cores=cores, memory=memory)


class Head:
    """The head of the cluster. Without it Ray ends a driver after a minute in a busy loop, and its tasks go on."""

    def __init__(self) -> None:
        self.address = str(ray.get_runtime_context().gcs_address)
        self._look_at, self._lacked = time.monotonic(), 0

    def answers(self) -> bool:
        """Whether it did just now; False also within a second of the last answer. A `StepError` where it is lost."""
        if time.monotonic() < self._look_at:
            return False
        problem = _unreachable(self.address)
        self._look_at, self._lacked = time.monotonic() + LOOK_EVERY_SECONDS, self._lacked + 1 if problem else 0
        if self._lacked >= _HEAD_LOOKS:
            raise StepError(
                f"the head of the Ray cluster at {self.address} is lost ({problem}); finished work is kept: start the "
                "cluster again, then run the same command again"
            )
        return not problem


@contextlib.contextmanager
def connected(address: str) -> Iterator[Head]:
    """Be a driver of the cluster."""
    head = head_address(address)
    if problem := _unreachable(head):
        resolved = "" if head == address else ', which `ray_address = "auto"` stands for here'
        raise StepError(f"no Ray cluster answers at {head}{resolved} ({problem}). {_START}")
    is_node = bool(find_gcs_addresses())
    if not is_node:
        say_note(f"this machine seems not to be a node of the Ray cluster at {head}; trying to join for a minute")
    on_stop = signal.getsignal(signal.SIGTERM)
    # Ray connects in C++, where no handler of ours is called; there is nothing to save yet.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with _ends_after(_JOIN_SECONDS, f"the head of the Ray cluster at {head} does not answer. {_START}"):
            ray.init(address=head, log_to_driver=False, runtime_env=_RUNTIME)
    except (RayError, OSError, RuntimeError, ValueError) as error:
        if not is_node:
            raise StepError(
                f"the head at {head} answers, but this machine is not a node of its cluster; run `ray start "
                f"--address={head} --num-cpus=0` here, then the same command again"
            ) from error
        # It says which versions differ.
        cause = textwrap.shorten(str(error), 500, placeholder=" …").rstrip(".")
        raise StepError(f"cannot join the Ray cluster at {head}: {cause}. {_START}") from error
    finally:
        # Ray sets a handler of its own.
        signal.signal(signal.SIGTERM, on_stop)
    try:
        yield Head()
    finally:
        ray.shutdown()


def head_address(address: str) -> str:
    """host:port of the head; "auto" stands for what RAY_ADDRESS says, or for the cluster that this machine is in."""
    if address != "auto":
        return address
    given = os.environ.get(_ADDRESS_SETTING, "")
    if given not in ("", "auto") and not is_host_and_port(given):
        raise StepError(
            f'`ray_address = "auto"` uses {_ADDRESS_SETTING}, and {given!r} is not host:port of a head; correct it, or '
            f"unset {_ADDRESS_SETTING}"
        )
    try:
        head = canonicalize_bootstrap_address("auto")
    except (OSError, ValueError):
        head = None
    if not head:
        raise StepError(f"no Ray runs on this machine. {_START}")
    return str(head)


@contextlib.contextmanager
def _ends_after(seconds: float, why: str) -> Iterator[None]:
    """End this process where the body takes longer: Ray cannot be interrupted."""
    timer = threading.Timer(seconds, lambda: end_now(say_failed(why, 1)))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _unreachable(address: str) -> str:
    """Why a head cannot be connected to; empty if it can."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except OSError as error:
        return error.strerror or str(error)
    except ValueError as error:
        # Of a name that cannot be one.
        return str(error)
    return ""


_START = (
    "`ray_address` in the file that RSFT_PLACEMENT names is host:port of the head; start that with `ray start --head`, "
    "and on this machine `ray start --address=HOST:PORT`, with --num-cpus=0 where it shall run nothing, all with the "
    "same versions of Python and Ray"
)


def settings_files() -> dict[str, str]:
    """The files that steps read, by setting; the lock also where no setting names it."""
    files = {name: str(Path(os.environ[name]).absolute()) for name in _FILES if os.environ.get(name)}
    return files | {LOCK_SETTING: str(lock_path().absolute())}


def step_environment(gpus: int) -> dict[str, str | None]:
    """What a step on a node is given of this environment. As arguments of a task it is not shown in Ray's dashboard."""
    given = {name: value for name, value in os.environ.items() if name.startswith(("RSFT_", "HF_"))}
    # Ray sets the number of threads by what a task reserves; here the placement does.
    threads = os.environ.get("OMP_NUM_THREADS")
    hidden = {} if gpus else {"CUDA_VISIBLE_DEVICES": ""}
    ours = {name: value for name, value in given.items() if name not in _OURS}
    return {**ours, **settings_files(), "OMP_NUM_THREADS": threads, **hidden}


def working_nodes() -> list[Mapping[str, Any]]:
    """Ray's entries of the nodes that are there and have cores or GPUs for tasks."""
    return [
        node
        for node in ray.nodes()
        if node["Alive"] and {"CPU", "GPU"} & {k for k, v in node["Resources"].items() if v}
    ]


def checked_nodes(home: Path, head: Head) -> list[Node]:
    """The nodes of the cluster; a `StepError` that names each that cannot run our steps, and the remedy."""
    entries = working_nodes()
    if not entries:
        raise StepError(
            f"the Ray cluster at {head.address} has no node with cores for tasks; start one with `ray start`"
        )
    settings, check = settings_files(), home / f".ray-{uuid.uuid4().hex[:12]}"
    nodes, problems = [], []
    try:
        with check.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            answers = _ask(entries, check, settings, head)
        for entry in entries:
            name = f"node {entry['NodeManagerHostname']} ({entry['NodeManagerAddress']})"
            answer, resources = answers[entry["NodeID"]], entry["Resources"]
            if isinstance(answer, GetTimeoutError):
                problems.append(f"{name} did not answer within {_ANSWER_SECONDS:.0f} s; look at its raylet's logs")
            elif isinstance(answer, RayError):
                say_note(f"{name} is gone: {why_lost(answer)}")
            else:
                nodes.append(Node(entry["NodeID"], int(resources.get("CPU", 0)), int(resources.get("GPU", 0)), answer))
                written = check.with_name(f"{check.name}-{entry['NodeID']}")
                problems += [f"{name}: {problem}" for problem in _problems(answer, home, settings, written)]
    finally:
        for path in home.glob(f"{check.name}*"):
            path.unlink(missing_ok=True)
    if problems or not nodes:
        reasons = "\n".join(problems or ["no node is left"])
        raise StepError(f"the Ray cluster at {head.address} cannot run steps:\n{reasons}")
    return nodes


def refuse_busy_gpus(nodes: Iterable[Node]) -> None:
    """A `StepError` where more GPUs are in use than Ray has given to tasks: it would give those to a piece."""
    busy = [f"{node.host}: {use}" for node in nodes for use in node.found["in_use"][: node.gpus] if use]
    given = ray.cluster_resources().get("GPU", 0) - ray.available_resources().get("GPU", 0)
    if len(busy) > given:
        listed = "\n".join(busy)
        raise StepError(
            f"{len(busy)} GPUs of the Ray cluster are in use, of which Ray has given {given:.0f} to tasks:\n{listed}\n"
            "End the other programs there, or start the Ray of that node with CUDA_VISIBLE_DEVICES of the other GPUs"
        )


def _ask(
    entries: Iterable[Mapping[str, Any]], check: Path, settings: Mapping[str, str], head: Head
) -> dict[str, dict[str, Any] | RayError]:
    """What each node answers to `probe.look`, by its id."""
    ray.cloudpickle.register_pickle_by_value(probe)
    look = ray.remote(max_retries=0, num_cpus=0)(probe.look)
    asked = {}
    for node in (entry["NodeID"] for entry in entries):
        there = NodeAffinitySchedulingStrategy(node, soft=False)
        asked[node] = look.options(scheduling_strategy=there).remote(node, str(check), settings)
    left, until = list(asked.values()), time.monotonic() + _ANSWER_SECONDS
    while left and time.monotonic() < until:
        head.answers()
        left = ray.wait(left, num_returns=len(left), timeout=LOOK_EVERY_SECONDS)[1]
    answers: dict[str, dict[str, Any] | RayError] = {}
    for node, answer in asked.items():
        try:
            answers[node] = ray.get(answer, timeout=0.1)
        except RayError as error:
            answers[node] = error
    return answers


def _problems(answer: Mapping[str, Any], home: Path, settings: Mapping[str, str], written: Path) -> Iterator[str]:
    if not answer["code"]:
        yield "it cannot import rsft_assets; install there what is installed here, in the Python that starts its raylet"
    elif answer["code"] != (mine := probe.code_digest()):
        yield f"its rsft_assets is of other code ({answer['code']}, here {mine}); install the same version on all nodes"
    if answer["home"] or not written.exists():
        problem = answer["home"] or f"{home} is another folder there: what it wrote is not seen here"
        yield (
            f"{problem}. {HOME_SETTING}={home} must be one folder of a shared POSIX file system whose locks hold "
            "between nodes"
        )
    for name, path in settings.items():
        here, there = probe.content_of(path), answer["settings"][name]
        if here != there:
            what = "does not exist" if there == "missing" else "has another content"
            yield f"{name}={path} {what} there; put it on the file system that is shared, for example into {home}"


def why_lost(error: RayError) -> str:
    """Why a task was lost, without Ray's logs and advice."""
    known = {
        NodeDiedError: "its node has ended",
        TaskUnschedulableError: "it has left the cluster",
        WorkerCrashedError: "its worker has ended",
    }
    lines = (line.strip() for line in str(error).splitlines())
    said = next(filter(None, lines), type(error).__name__)
    return known.get(type(error)) or textwrap.shorten(said, 300, placeholder=" …").rstrip(".")
