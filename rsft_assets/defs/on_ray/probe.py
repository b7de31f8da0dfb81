"""What a node of a cluster has and sees, asked on the node itself.

This module is sent to the node, which may lack the package: standard library only, and what else it imports is
imported inside a `try`.
"""

import fcntl
import hashlib
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_APPEARS_SECONDS = 10.0
"""A network file system may show a new file that much later."""


def code_digest() -> str:
    """A hash over the package's code; empty where a step finds no package.

    A new interpreter is asked, as a step is one: Ray's own processes also look where the driver does.
    """
    asked = [sys.executable, "-c", "import rsft_assets; print(rsft_assets.__path__[0])"]
    answer = subprocess.run(asked, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        return ""
    root, digest = Path(answer.stdout.strip()), hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def content_of(path: str) -> str:
    """A hash of a file; `folder` for one, `missing` where there is nothing."""
    place = Path(path)
    if place.is_dir():
        return "folder"
    return hashlib.sha256(place.read_bytes()).hexdigest() if place.is_file() else "missing"


def look(node: str, check: str, settings: Mapping[str, str]) -> dict[str, Any]:
    """What this node has and sees; `check` is a file of the home, which the driver has locked."""
    answer: dict[str, Any] = {
        "host": socket.gethostname(),
        "python": ".".join(map(str, sys.version_info[:2])),
        "code": code_digest(),
        "home": home_problem(Path(check), node),
        "settings": {name: content_of(path) for name, path in settings.items()},
    }
    try:
        from rsft_assets.steps.processes.hardware import gpus_in_use, this_machine

        machine = this_machine()
        answer |= {"gpus": machine.gpus, "cores": machine.cores, "memory": machine.memory, "in_use": gpus_in_use()}
    except ImportError:
        answer["code"] = ""
    return answer


def home_problem(check: Path, node: str) -> str:
    """What keeps this node from using the home; empty if nothing does."""
    deadline = time.monotonic() + _APPEARS_SECONDS
    try:
        while not check.exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        with check.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pass
    except OSError as error:
        return f"it does not see {check.parent} ({error.strerror})"
    else:
        return f"it could lock {check} while the driver held that lock"
    try:
        aside = check.with_name(f"{check.name}-{node}.writing")
        aside.write_text(node)
        aside.rename(check.with_name(f"{check.name}-{node}"))
    except OSError as error:
        return f"it cannot write into {check.parent} ({error.strerror})"
    return ""
