"""A cluster whose steps are measured: processor seconds of a step, of its driver, and of the rest of the cluster.

    with Cluster(folder, study) as cluster:
        cost = cluster.measure("rsft_assets.steps.verdicts.verify", ["verdicts/POOL"], nodes=2, pieces=2)

Steps say what they took as they end, and the kernel what the driver took. The rest is what the whole machine took
meanwhile, without those: raylets do not wait for their workers, so that no process is told what a worker took.
"""

import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from rsft_assets_tests.ray_rig import ADDRESS, RayRig

_LAUNCH = """
import sys
from pathlib import Path
from rsft_assets.defs.launchers import StepCall, launch
from rsft_assets.specs.placement import load_placement
home, module, *words = sys.argv[1:]
for event in launch(load_placement(), StepCall(module, tuple(words), Path(home), "measured")):
    pass
"""
_MEASURED = """
import atexit, os, resource, runpy, sys, uuid
from pathlib import Path

def write():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    folder = Path(os.environ["RSFT_HOME"], "measured")
    folder.mkdir(exist_ok=True)
    (folder / uuid.uuid4().hex).write_text(str(sum(one.ru_utime + one.ru_stime for one in used)))

if module := os.environ["RSFT_MEASURED"]:
    atexit.register(write)
    runpy.run_module(module, run_name="__main__", alter_sys=True)
"""
"""A step that says what it took, or with an empty name does nothing."""
_LEAVES_SECONDS = 30.0


@dataclass(frozen=True)
class Cost:
    """Seconds of one step: by the clock, and of processor time."""

    wall: float
    steps: float
    driver: float
    cluster: float = 0.0
    """Raylets, workers and the head."""

    @property
    def processor(self) -> float:
        return self.steps + self.driver + self.cluster


class Cluster:
    """A head and two nodes of one core; the second takes part where it is asked to."""

    def __init__(self, folder: Path, study: Path) -> None:
        self.folder, self.home, self.study = folder, folder / "home", study
        self.rig = RayRig(folder)
        (folder / "measured_step.py").write_text(_MEASURED)

    def __enter__(self) -> "Cluster":
        self.rig.__enter__()
        try:
            last = len(os.sched_getaffinity(0)) - 1
            for core, name in enumerate(("one", "two")):
                self.rig.add(name, cores=1, on_core=min(core, last))
        except BaseException:
            self.rig.__exit__()
            raise
        return self

    def __exit__(self, *problem: object) -> None:
        self.rig.__exit__(*problem)

    def settings(self, nodes: int, pieces: int) -> dict[str, str]:
        """The environment of a step on so many nodes; 0: here, on the first core."""
        path = self.folder / f"placement-{nodes}-{pieces}.toml"
        ray = f'launcher = "ray"\nray_address = "{ADDRESS}"\nray_pieces = {pieces}\n' if nodes else ""
        path.write_text(f"[default]\nworkers = 1\nruns = 1\n{ray}")
        named = {"RSFT_HOME": self.home, "RSFT_STUDY": self.study, "RSFT_PLACEMENT": path}
        return {name: str(value) for name, value in named.items()}

    def take_part(self, nodes: int) -> None:
        """Let so many nodes be in the cluster."""
        two = self.rig.hosts["two"]
        at_work = two.ray is not None and two.ray.poll() is None
        if nodes < 2 and at_work:
            # A raylet that is asked to end says so to the head, which would miss a killed one only later.
            raylets = two.processes("raylet/raylet")
            for raylet in raylets:
                raylet.terminate()
            psutil.wait_procs(raylets, _LEAVES_SECONDS)
            self.rig.leave(two)
        elif nodes == 2 and not at_work:
            self.rig.join(two)

    def measure(self, module: str, words: Sequence[str], nodes: int, pieces: int) -> Cost:
        shutil.rmtree(self.home / "measured", ignore_errors=True)
        self.take_part(max(1, nodes))
        here = () if nodes else ("taskset", "--cpu-list", "0")
        command = [*here, sys.executable, "-c", _LAUNCH, str(self.home), "measured_step", *words]
        before, started = used_here(), time.perf_counter()
        process = self.rig.start(command, **self.settings(nodes, pieces), RSFT_MEASURED=module)
        said = process.stdout.read() if process.stdout else ""
        _, status, used = os.wait4(process.pid, 0)
        wall, all_here = time.perf_counter() - started, used_here() - before
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise SystemExit(said)
        steps = sum(float(path.read_text()) for path in (self.home / "measured").glob("*"))
        around = used.ru_utime + used.ru_stime - (0.0 if nodes else steps)
        return Cost(wall, steps, around, all_here - steps - around if nodes else 0.0)


def used_here() -> float:
    """Processor seconds of all that has run on this machine."""
    times = psutil.cpu_times()
    return times.user + times.nice + times.system + times.irq + times.softirq
