"""A Ray cluster of several hosts on this machine, for tests.

    with RayRig(folder) as rig:
        one = rig.add("one", cores=1)
        rig.run(["rsft", "doctor"], RSFT_PLACEMENT=...)
        rig.kill(one)

All is in a network namespace with nothing but `lo`: elsewhere Ray looks for an outside address and rewrites loopback.
Each host has a hostname, an address, mounts and a PID namespace of its own, so that all of it can be killed at once.
The head has no cores for tasks. Commands join the cluster through it; they run in its network, or on a host that is
named.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil

import rsft_assets

ADDRESS = "127.0.0.1:6379"
_SOURCE = Path(rsft_assets.__file__).parents[1]
_START_SECONDS, _TRIES = 100, 3
"""A raylet ends itself where its agents do not start within 45 seconds: on busy cores it is started again."""
_WITH_US = ("setpriv", "--pdeathsig", "KILL")
"""A namespace ends with its first process, that with `unshare`, and this with the test, even a killed one."""
_NETWORK = (*_WITH_US, "unshare", "--map-root-user", "--net", "--fork", "--kill-child")
_NOT_ON_THE_HEAD = ("--include-dashboard=false", "--no-monitor")
"""What would start beside its raylet, which waits for its agents for less than a minute."""
_RAY = ("ray.scripts.scripts", "raylet/raylet", "gcs_server")
_STORE_BYTES = "80000000"


@dataclass
class Host:
    """One host: the process that holds its namespaces, and the command that makes it a node of the cluster."""

    name: str
    holder: subprocess.Popen[bytes]
    first: psutil.Process
    """Of its PID namespace; all others end with it."""
    join: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    ray: subprocess.Popen[bytes] | None = None
    """`join` at work; it ends where its raylet does."""

    @property
    def inside(self) -> list[str]:
        """What stands before a command that runs on it."""
        spaces = ("--user", "--net", "--uts", "--mount", "--pid")
        return ["nsenter", "--preserve-credentials", *spaces, "--target", str(self.first.pid), *_WITH_US]

    def processes(self, word: str = "") -> list[psutil.Process]:
        """What runs on it, with this word in its command line."""
        space, found = _pid_space(self.first.pid), []
        for pid in psutil.pids():
            if space and pid != self.first.pid and _pid_space(pid) == space:
                with contextlib.suppress(psutil.NoSuchProcess):
                    found.append(psutil.Process(pid))
        return [one for one in found if word in " ".join(_command(one))]


class RayRig:
    """The cluster and its network."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hosts: dict[str, Host] = {}
        self._added = 0

    def __enter__(self) -> "RayRig":
        self._network = subprocess.Popen(
            [*_NETWORK, "sh", "-c", "ip link set lo up && echo up && exec sleep infinity"],
            stdout=subprocess.PIPE,
        )
        assert self._network.stdout is not None and self._network.stdout.readline() == b"up\n"
        try:
            self.add("head", cores=0)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *problem: object) -> None:
        for host in list(self.hosts.values()):
            self.kill(host)
        self._network.kill()
        for one in _descendants(self._network.pid):
            one.kill()
        self._network.wait()

    @property
    def inside(self) -> list[str]:
        """What stands before a command that runs in the network, with the processes and files of this machine."""
        [sleeper] = psutil.Process(self._network.pid).children()
        return ["nsenter", "--preserve-credentials", "--user", "--net", "--target", str(sleeper.pid)]

    def add(
        self,
        name: str,
        *,
        cores: int,
        gpus: int = 0,
        setup: str = "true",
        on_core: int | None = None,
        **environment: str,
    ) -> Host:
        """Start a host, and wait until it is a node of the cluster. `setup` is a shell command, in its own mounts;
        `on_core` keeps its steps on one core of this machine.
        """
        self._added += 1
        joined = ["--head", "--port=6379"] if name == "head" else [f"--address={ADDRESS}"]
        ray = [sys.executable, "-m", "ray.scripts.scripts", "start", *joined, "--block", "--disable-usage-stats"]
        ray += [
            f"--node-ip-address=127.0.0.{self._added}",
            f"--num-cpus={cores}",
            f"--num-gpus={gpus}",
            f"--object-store-memory={_STORE_BYTES}",
            "--include-log-monitor=false",
        ]
        ray += [f"--temp-dir={self.folder}", *_NOT_ON_THE_HEAD] if name == "head" else []
        host = self.hold(name, setup)
        pinned = [] if on_core is None else ["taskset", "--cpu-list", str(on_core)]
        host.join, host.environment = [*pinned, *ray], environment
        self.join(host)
        return host

    def hold(self, name: str, setup: str = "true") -> Host:
        """Start a host that is no node of the cluster."""
        namespaces = [*_WITH_US, "unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
        script = f'hostname "$0" && {setup} && echo host is up && exec sleep infinity'
        log = (self.folder / f"{name}.log").open("wb")
        holder = subprocess.Popen(
            [*self.inside, *namespaces, "sh", "-c", script, name],
            env=self.environment({}),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            assert _says("host is up", holder, Path(log.name)), Path(log.name).read_text()
        except BaseException:
            holder.kill()
            raise
        [first] = psutil.Process(holder.pid).children()
        self.hosts[name] = Host(name, holder, first)
        return self.hosts[name]

    def join(self, host: Host) -> None:
        """Make a host a node of the cluster, at first or again, and wait for that."""
        for _ in range(_TRIES):
            log = (self.folder / f"{host.name}.log").open("wb")
            host.ray = subprocess.Popen(
                [*host.inside, *host.join],
                env=self.environment(host.environment),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            if _says("Ray runtime started", host.ray, Path(log.name)):
                return
            self.leave(host)
        raise AssertionError(Path(log.name).read_text())

    def leave(self, host: Host) -> None:
        """Kill the raylet of a host and what started it; its workers, and their steps, end by themselves."""
        for process in [process for word in _RAY for process in host.processes(word)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if host.ray:
            host.ray.wait()

    def kill(self, host: Host) -> None:
        """All of a host at once, as if its power were cut."""
        with contextlib.suppress(psutil.NoSuchProcess):
            doomed = [host.first, *host.processes()]
            host.first.kill()
            psutil.wait_procs(doomed, timeout=20)
        for process in filter(None, (host.holder, host.ray)):
            process.kill()
            process.wait()
        self.hosts.pop(host.name, None)

    def environment(self, others: Mapping[str, str]) -> dict[str, str]:
        plain = {
            name: value for name, value in os.environ.items() if not name.startswith(("RSFT_", "DAGSTER_", "RAY_"))
        }
        fixed = {"PYTHONPATH": f"{_SOURCE}:{self.folder}", "OMP_NUM_THREADS": "1"}
        # On busy cores a raylet does not start within Ray's 30 seconds.
        return {**plain, **fixed, "RAY_raylet_start_wait_time_s": str(_START_SECONDS), **others}

    def start(
        self,
        command: Sequence[str],
        on: Host | None = None,
        output: IO[str] | int = subprocess.PIPE,
        **environment: str,
    ) -> subprocess.Popen[str]:
        """A command in the network, or on a host; not waited for."""
        return subprocess.Popen(
            [*(on.inside if on else self.inside), *command],
            env=self.environment(environment),
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    def run(
        self, command: Sequence[str], seconds: float = 300.0, on: Host | None = None, **environment: str
    ) -> tuple[int, str]:
        """(exit status, what it said)."""
        process = self.start(command, on, **environment)
        try:
            said = process.communicate(timeout=seconds)[0]
        finally:
            process.kill()
        return process.returncode, said


def _descendants(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


def _command(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return []


def _pid_space(pid: int) -> int:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/ns/pid").stat().st_ino
    return 0


def _says(words: str, process: subprocess.Popen[bytes], log: Path) -> bool:
    """Whether a process writes this into its log before it ends, and in time."""
    until = time.monotonic() + 1.5 * _START_SECONDS
    while words.encode() not in log.read_bytes():
        if process.poll() is not None or time.monotonic() >= until:
            return False
        time.sleep(0.1)
    return True
