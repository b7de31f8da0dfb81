"""The Ray cluster that is attacked: a head, two nodes of one core, and a node without one, where commands run.

All but the head share the home as a JuiceFS volume. Every part can be killed, and `mend` brings back what is gone.
"""

import contextlib
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from rsft_assets_tests.juicefs import Volume
from rsft_assets_tests.proof.chaos import stage_of
from rsft_assets_tests.ray_rig import ADDRESS, Host, RayRig

NODES, COMMANDS = ("one", "two"), "login"
PLACEMENT = f'[default]\nlauncher = "ray"\nray_address = "{ADDRESS}"\nray_pieces = 2\n'
_STEP, _DRIVER = "-m rsft_assets.steps.", "-m rsft_assets.defs.on_ray.driver"
_COMMAND, _WORKER = " materialize ", "ray::"
_FROZEN_SECONDS = 75.0
"""The head takes a node for dead after a minute."""
_ENDS_SECONDS = 30.0


class Cluster:
    """The cluster at work."""

    def __init__(self, folder: Path) -> None:
        self.rig, self.volume = RayRig(folder), Volume(folder / "volume")
        self.placement = folder / "placement.toml"
        self.placement.write_text(PLACEMENT)

    def __enter__(self) -> "Cluster":
        self.rig.__enter__()
        try:
            self.mend()
        except BaseException:
            self.rig.__exit__()
            raise
        return self

    def __exit__(self, *problem: object) -> None:
        self.rig.__exit__(*problem)

    def mend(self) -> None:
        """Start and mount again whatever is gone."""
        rig, hosts = self.rig, self.rig.hosts
        if "head" not in hosts or _left(hosts["head"]):
            for host in hosts.values():
                # A node stays with the head that it has joined.
                rig.leave(host)
            if "head" not in hosts:
                rig.add("head", cores=0)
        for name in (*NODES, COMMANDS):
            if name in hosts and not self.volume.mounted(hosts[name]):
                self.volume.mount(rig, hosts[name])
        for name in (*NODES, COMMANDS):
            if name not in hosts:
                rig.add(name, cores=int(name in NODES), setup=self.volume.setup(name))
        for host in hosts.values():
            if _left(host):
                rig.join(host)

    @property
    def nodes(self) -> list[Host]:
        return [self.rig.hosts[name] for name in NODES if name in self.rig.hosts]

    @property
    def login(self) -> Host:
        return self.rig.hosts[COMMANDS]

    def steps(self, hosts: Iterable[Host] = ()) -> list[psutil.Process]:
        """Steps at work on some hosts, or on all."""
        return [step for host in hosts or self.rig.hosts.values() for step in host.processes(_STEP)]

    def stages(self, hosts: Iterable[Host] = ()) -> set[str]:
        return {stage_of(step) for step in self.steps(hosts)}

    def driver(self) -> psutil.Process | None:
        return next(iter(self.login.processes(_DRIVER)), None)

    def command(self) -> psutil.Process | None:
        return next((one for one in self.login.processes(_COMMAND) if _DRIVER not in " ".join(one.cmdline())), None)


def _left(host: Host) -> bool:
    return host.ray is None or host.ray.poll() is not None


def kill_raylet(cluster: Cluster, numbers: random.Random) -> str:
    host = _node(cluster, numbers)
    return _kill(host, host.processes("raylet/raylet"))


def kill_node(cluster: Cluster, numbers: random.Random) -> str:
    host = _node(cluster, numbers)
    cluster.rig.kill(host)
    return host.name


def kill_head(cluster: Cluster, numbers: random.Random) -> str:
    cluster.rig.kill(cluster.rig.hosts["head"])
    return "head"


def kill_command(cluster: Cluster, numbers: random.Random) -> str:
    return _kill(cluster.login, [cluster.command()])


def kill_driver(cluster: Cluster, numbers: random.Random) -> str:
    return _kill(cluster.login, [cluster.driver()])


def kill_mount(cluster: Cluster, numbers: random.Random) -> str:
    host = numbers.choice([_node(cluster, numbers), cluster.login])
    cluster.volume.kill(host)
    return host.name


def kill_worker(cluster: Cluster, numbers: random.Random) -> str:
    host = _node(cluster, numbers)
    at_work = [parent for step in host.processes(_STEP) if (parent := step.parent()) and _is_worker(parent)]
    return _kill(host, at_work[:1])


def kill_step(cluster: Cluster, numbers: random.Random) -> str:
    host = _node(cluster, numbers)
    return _kill(host, host.processes(_STEP)[:1])


def freeze_node(cluster: Cluster, numbers: random.Random) -> str:
    """All of a node stands still until the head has given it up, and then goes on."""
    host = _node(cluster, numbers)
    frozen = host.processes()
    for process in frozen:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.suspend()
    time.sleep(_FROZEN_SECONDS)
    for process in frozen:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.resume()
    if host.ray:
        # `nsenter` stops when its child does, and goes on only when it is told to itself.
        host.ray.send_signal(signal.SIGCONT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            host.ray.wait(_ENDS_SECONDS)
    return host.name


VICTIMS: dict[str, Callable[[Cluster, random.Random], str]] = {
    "raylet": kill_raylet,
    "node": kill_node,
    "head": kill_head,
    "command": kill_command,
    "driver": kill_driver,
    "mount": kill_mount,
    "worker": kill_worker,
    "step": kill_step,
    "frozen node": freeze_node,
}
"""What can be hit: it is killed, and the host where it was is named; empty where it is gone already."""


def _node(cluster: Cluster, numbers: random.Random) -> Host:
    """A node, most often one with a step at work."""
    at_work = [host for host in cluster.nodes if host.processes(_STEP)]
    return numbers.choice(at_work if at_work and numbers.random() < 0.8 else cluster.nodes)


def _kill(host: Host, victims: Iterable[psutil.Process | None]) -> str:
    killed = False
    for victim in filter(None, victims):
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()
            killed = True
    return host.name if killed else ""


def _is_worker(process: psutil.Process) -> bool:
    return " ".join(process.cmdline()).startswith(_WORKER)
