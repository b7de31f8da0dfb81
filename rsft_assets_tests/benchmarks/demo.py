"""What `rsft demo` costs from nothing, and typed again: seconds, and peak memory of all its processes together.

python -m rsft_assets_tests.benchmarks.demo [COMMAND ...]      # default: demo
"""

import os
import subprocess
import sys
import tempfile
import time

import psutil


def measured(words: list[str], home: str) -> tuple[float, int]:
    """(seconds, peak bytes of proportional memory over the whole process tree) of one `rsft` command."""
    environment = {**os.environ, "RSFT_HOME": home}
    environment.pop("DAGSTER_HOME", None)
    started, peak = time.perf_counter(), 0
    process = subprocess.Popen([sys.executable, "-m", "rsft_assets.commands.cli", *words], env=environment)
    root = psutil.Process(process.pid)
    while process.poll() is None:
        peak = max(peak, sum(_bytes(p) for p in [root, *_below(root)]))
        time.sleep(0.5)
    if process.returncode:
        raise SystemExit(f"rsft {' '.join(words)} ended with {process.returncode}")
    return time.perf_counter() - started, peak


def _below(root: psutil.Process) -> list[psutil.Process]:
    try:
        return root.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _bytes(process: psutil.Process) -> int:
    try:
        return process.memory_full_info().pss
    except psutil.Error:
        return 0


def main() -> None:
    words = sys.argv[1:] or ["demo"]
    with tempfile.TemporaryDirectory() as home:
        first, peak = measured(words, home)
        again, _ = measured(words, home)
    print(f"rsft {' '.join(words)}: {first:.0f} s, {peak / 2**30:.2f} GiB at most; again {again / first:.2f} of that")


if __name__ == "__main__":
    main()
