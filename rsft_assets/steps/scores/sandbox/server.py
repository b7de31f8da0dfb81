"""The server: a small process that runs one program after another, each in a sandbox of its own.

    python -I server.py          # frames on standard input, frames on standard output

A frame is four bytes of length and that much JSON. In: {"code", "kind", "entry", "bare", "limits"} opens a sandbox;
then tests, {"input", "seconds"}, each answered by {"status", "output", "stderr", "seconds"}; then {"end": true}.
Process 1 of the sandbox is ours and never runs the program itself: every test runs in a child without privileges, and
when it is over, process 1 kills whatever is left in its process space. Expected outputs never come in here.
"""

import contextlib
import fcntl
import gc
import json
import os
import platform
import resource
import select
import signal
import struct
import sys
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "processes"))
import execution
import isolation
import seccomp
from cpu_time import cpu_seconds
from parent_death import PARENT_SETTING, end_with_parent

del sys.path[:2]

_CALLS = isolation.CallFilter(seccomp.call_filter(platform.machine()))
_STDERR_KEPT = 2_000
_LOOK_EVERY_SECONDS = 0.05


def read_frame() -> dict[str, Any] | None:
    header = _exactly(4)
    return None if header is None else json.loads(_exactly(struct.unpack(">I", header)[0]) or b"null")


def _exactly(size: int) -> bytes | None:
    parts = []
    while size:
        part = os.read(0, min(size, 1 << 20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def write_frame(value: dict[str, Any]) -> None:
    data = json.dumps(value).encode()
    data = struct.pack(">I", len(data)) + data
    while data:
        data = data[os.write(1, data) :]


def serve() -> None:
    """One sandbox after another, until standard input ends."""
    end_with_parent(int(os.environ.pop(PARENT_SETTING, os.getppid())))
    # The C library has read it; a program sees no setting of ours.
    os.environ.pop("MALLOC_ARENA_MAX", None)
    server = os.getpid()
    readable = ["/usr", "/bin", "/lib", "/lib64", "/lib32", sys.base_prefix, sys.prefix]
    gc.freeze()
    # Python's own handler would let a program interrupt process 1.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    while (job := read_frame()) is not None:
        if "code" not in job:  # meant for a sandbox that has ended
            continue
        builder = os.fork()
        if builder == 0:
            _open(job, readable, server)
        os.waitpid(builder, 0)


def _open(job: dict[str, Any], readable: list[str], server: int) -> NoReturn:
    """Enter new namespaces, and fork process 1 of the sandbox."""
    end_with_parent(server)
    try:
        counted = isolation.enter_namespaces()
        first = os.fork()
    except OSError as error:
        write_frame({"status": "no-isolation", "stderr": str(error), "number": job["number"]})
        os._exit(1)
    if first == 0:
        _serve_tests(job, readable, counted)
    if os.waitpid(first, 0)[1]:
        down = {"status": "killed", "output": "", "stderr": "the program ended its sandbox"}
        write_frame({**down, "number": job["number"]})
    os._exit(0)


def _serve_tests(job: dict[str, Any], readable: list[str], counted: bool) -> NoReturn:
    """Process 1: run test after test."""
    # Its parent is outside its process space, where the number of that reads 0.
    end_with_parent(0)
    try:
        isolation.change_root(readable, job["limits"]["scratch_bytes"])
        held = {"a limit on threads": counted, "Landlock": isolation.restrict_files()}
    except OSError as error:
        write_frame({"status": "no-isolation", "stderr": str(error), "number": job["number"]})
        os._exit(0)
    without = [name for name, is_there in held.items() if not is_there]
    write_frame({"status": "ready", "number": job["number"], "without": without})
    while (test := read_frame()) is not None and not test.get("end"):
        write_frame(_run({**job, "limits": {**job["limits"], "seconds": test["seconds"]}}, test["input"]))
    os._exit(0)


def _run(job: dict[str, Any], given: str) -> dict[str, Any]:
    stdin = _input(given)
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    child = os.fork()
    if child == 0:
        _become(job, stdin, out_write, err_write)
    for descriptor in (stdin, out_write, err_write):
        os.close(descriptor)
    handle = os.pidfd_open(child)
    output, errors, status = _watch(child, handle, out_read, err_read, job["limits"])
    exit_status, seconds = _end_all(child)
    for descriptor in (handle, out_read, err_read):
        os.close(descriptor)
    stderr = errors.decode("utf-8", "replace")[-_STDERR_KEPT:]
    if not status:
        status = _status(exit_status, stderr)
    return {"status": status, "output": output.decode("utf-8", "replace"), "stderr": stderr, "seconds": seconds}


def _input(given: str) -> int:
    """A file without a name: a name is something that an earlier test can have taken."""
    descriptor = os.memfd_create("input", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    data = given.encode("utf-8", "surrogatepass")
    while data:
        data = data[os.write(descriptor, data) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
    return descriptor


def _watch(child: int, handle: int, out: int, err: int, limits: dict[str, Any]) -> tuple[bytes, bytes, str]:
    """Read until the child has ended, time is up or there is too much; the status where one of the latter came."""
    kept: dict[int, bytearray] = {out: bytearray(), err: bytearray()}
    open_ends = {out, err, handle}
    deadline = time.monotonic() + limits["wall_seconds"]
    while True:
        if cpu_seconds(child) > limits["seconds"] or time.monotonic() > deadline:
            return bytes(kept[out]), bytes(kept[err]), "time"
        if not open_ends:
            return bytes(kept[out]), bytes(kept[err]), ""
        for end in select.select(list(open_ends), [], [], _LOOK_EVERY_SECONDS)[0]:
            part = b"" if end == handle else os.read(end, 1 << 16)
            if not part:
                open_ends.discard(end)
            elif end == err:
                kept[err] = (kept[err] + part)[-_STDERR_KEPT:]
            else:
                kept[out] += part
                if len(kept[out]) > limits["output_bytes"]:
                    return b"", bytes(kept[err]), "output"


def _end_all(child: int) -> tuple[int, float]:
    """Kill all in the sandbox but process 1, and wait for it; the child's exit status and the CPU time of all."""
    exit_status, seconds = 0, 0.0
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    while True:
        try:
            done, code, used = os.wait3(0)
        except ChildProcessError:
            return exit_status, seconds
        seconds += used.ru_utime + used.ru_stime
        if done == child:
            exit_status = code


def _status(exit_status: int, stderr: str) -> str:
    if exit_status == 0:
        return "ok"
    if "MemoryError" in stderr:
        return "memory"
    return "killed" if os.WIFSIGNALED(exit_status) else "error"


def _become(job: dict[str, Any], stdin: int, out: int, err: int) -> NoReturn:
    """The child: close descriptors, set limits, give up privileges, then be the program."""
    code = 1
    try:
        # Out of the server's process group, which a signal reaches across all isolation.
        os.setsid()
        os.dup2(stdin, 0)
        os.dup2(out if job["kind"] == "stdin" else os.open("/dev/null", os.O_WRONLY), 1)
        os.dup2(err, 2)
        os.dup2(out, 3)
        os.closerange(4, 4096)
        if job["kind"] == "stdin":
            os.close(3)
        _limit(job["limits"])
        isolation.give_up_privileges(_CALLS)
        code = execution.execute(job)
    except BaseException:  # what a program raises is its own end and nobody else's
        with contextlib.suppress(BaseException):
            os.write(2, traceback.format_exc()[-_STDERR_KEPT:].encode("utf-8", "replace"))
    os._exit(code)


def _limit(limits: dict[str, Any]) -> None:
    # A second line behind process 1: the kernel counts this limit in ticks, not exactly.
    seconds = 2 * int(limits["seconds"]) + 1
    for what, value in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, limits["memory_bytes"]),
        (resource.RLIMIT_FSIZE, limits["scratch_bytes"]),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
        # numpy's own threads are up to 64, one for each processor.
        (resource.RLIMIT_NPROC, 128),
        (resource.RLIMIT_SIGPENDING, 64),
    ):
        resource.setrlimit(what, (value, value))


if __name__ == "__main__":
    serve()
