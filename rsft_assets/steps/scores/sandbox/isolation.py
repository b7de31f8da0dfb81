"""The isolation of the sandbox, by system calls: namespaces, a root of its own, no privileges, a filter of calls.

Comes in: nothing but the calling process. Goes out: that process, isolated, or an `OSError`. Standard library
only, Linux on x86-64 or arm64 only; elsewhere `supported()` says no, and code is not run.
"""

import ctypes
import functools
import os
import platform
import struct
import sys
from pathlib import Path
from typing import Any

_NEW_NAMESPACES = (
    0x10000000 | 0x00020000 | 0x20000000 | 0x40000000 | 0x08000000 | 0x04000000
)  # user mnt pid net ipc uts
_MS_RDONLY, _MS_BIND, _MS_REC, _MS_PRIVATE, _MS_NOSUID, _MS_NODEV = 1, 4096, 16384, 1 << 18, 2, 4
_MNT_DETACH = 2
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_FILTER = 38, 22, 2
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_SYSCALLS: dict[str, dict[str, Any]] = {
    "x86_64": {
        "clone": 56,
        "denied": (
            *(29, 41, 53, 57, 58, 59, 64, 68, 101, 103, 134, 153, 155, 159, 161, 163, 164, 165, 166, 167, 168),
            *(169, 170, 171, 172, 173, 175, 176, 179, 240, 246, 248, 249, 250, 272, 298, 303, 304, 308, 310, 311, 312),
            *(313, 319, 320, 321, 322, 323, 425, 426, 427, 428, 429, 430, 431, 432, 433, 434, 438, 442, 447),
        ),
        "absent": (435,),
        "mount_setattr": 442,
        "pivot_root": 155,
    },
    "aarch64": {
        "clone": 220,
        "denied": (
            *(39, 40, 41, 51, 60, 89, 97, 104, 105, 106, 112, 116, 117, 142, 161, 162, 170, 171, 180, 186, 190),
            *(194, 198, 199, 217, 218, 219, 221, 224, 225, 241, 264, 265, 266, 268, 270, 271, 272, 273, 279, 280, 281),
            *(282, 294, 425, 426, 427, 428, 429, 430, 431, 432, 433, 434, 438, 442, 447),
        ),
        "absent": (435,),
        "mount_setattr": 442,
        "pivot_root": 41,
    },
}
"""Calls that answer "not permitted" (sockets, fork and exec, ptrace, mounts, namespaces, modules, keys, io_uring, bpf,
other processes' memory, shared memory and message queues, which no limit counts, the clock) or "no such call" (clone3,
so that threads fall back on clone)."""


def supported() -> str:
    """Why programs cannot be isolated on this machine, in words; empty where they may."""
    if sys.platform != "linux" or platform.machine() not in _ARCHITECTURES:
        return f"code is only isolated on Linux (x86-64, arm64), this is {sys.platform} {platform.machine()}"
    return ""


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def enter_namespaces() -> None:
    """New user, mount, process, network, IPC and host name spaces; processes forked from here on are inside."""
    user, group = os.getuid(), os.getgid()
    _check(_libc().unshare(_NEW_NAMESPACES), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")


def change_root(readable: list[str], scratch_bytes: int) -> None:
    """A root of memory, with `readable` folders of the old one inside, read-only, and an empty /tmp to work in."""
    libc = _libc()
    none = None
    _check(libc.mount(b"none", b"/", none, _MS_REC | _MS_PRIVATE, none), "private mounts")
    root = Path("/tmp")
    options = f"size={scratch_bytes},nr_inodes=4096,mode=755".encode()
    _check(libc.mount(b"sandbox", bytes(root), b"tmpfs", _MS_NOSUID | _MS_NODEV, options), "tmpfs")
    # Once the new root has moved from /tmp to /, the old one shows its own /tmp again, which may hold Python.
    for name in ("old", "tmp", "dev"):
        (root / name).mkdir()
    os.chdir(root)
    number = _SYSCALLS[platform.machine()]["pivot_root"]
    _check(libc.syscall(number, b".", b"old"), "pivot_root")
    os.chdir("/")
    for folder in readable:
        _bind(libc, folder)
    for device in ("null", "zero", "urandom"):
        Path("/dev", device).touch()
        _check(libc.mount(f"/old/dev/{device}".encode(), f"/dev/{device}".encode(), none, _MS_BIND, none), device)
    _check(libc.umount2(b"/old", _MNT_DETACH), "umount old root")
    Path("/old").rmdir()
    os.chdir("/tmp")


def _bind(libc: ctypes.CDLL, folder: str) -> None:
    source, target = Path("/old" + folder), Path(folder)
    if source.is_symlink():
        if not target.is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source.readlink())
        return
    if not source.is_dir() or target.is_dir():
        return
    target.mkdir(parents=True)
    _check(libc.mount(bytes(source), bytes(target), None, _MS_BIND | _MS_REC, None), f"bind {folder}")
    attributes = struct.pack("QQQQ", _MS_RDONLY | _MS_NOSUID | _MS_NODEV, 0, 0, 0)
    number = _SYSCALLS[platform.machine()]["mount_setattr"]
    done = libc.syscall(number, _AT_FDCWD, bytes(target), _AT_RECURSIVE, attributes, len(attributes))
    _check(done, f"read-only {folder}")


def give_up_privileges() -> None:
    """No capability is left, none can be gained, and the filter of calls holds for this process and its threads."""
    libc = _libc()
    _check(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    _check(libc.capset(struct.pack("Ii", 0x20080522, 0), bytes(24)), "capset")
    _check(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_FILTER, _described_filter()[0], 0, 0), "seccomp")


def prepare() -> None:
    """Build what `give_up_privileges` needs, so that the processes forked from here on find it ready."""
    libc = _libc()
    assert libc.prctl and libc.capset
    _described_filter()


@functools.cache
def _described_filter() -> tuple[ctypes.c_char_p, Any]:
    """The filter as the kernel takes it, and the memory that it lies in."""
    program = _filter(platform.machine())
    code = ctypes.create_string_buffer(b"".join(program))
    # struct sock_fprog: a count, padding to a pointer, the pointer.
    described = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    return ctypes.c_char_p(described), code


def _filter(machine: str) -> list[bytes]:
    """A classic BPF program: wrong architecture is killed, denied calls fail, processes cannot be made, threads can."""
    table = _SYSCALLS[machine]
    load, equal, at_least, set_bits, give = 0x20, 0x15, 0x35, 0x45, 0x06
    kill, allow, not_permitted, no_such_call = 0x80000000, 0x7FFF0000, 0x00050001, 0x00050026

    def step(code: int, k: int, jump_true: int = 0, jump_false: int = 0) -> bytes:
        return struct.pack("HBBI", code, jump_true, jump_false, k)

    program = [step(load, 4), step(equal, _ARCHITECTURES[machine], 1, 0), step(give, kill), step(load, 0)]
    if machine == "x86_64":
        program += [step(at_least, 0x40000000, 0, 1), step(give, not_permitted)]
    for number in table["denied"]:
        program += [step(equal, number, 0, 1), step(give, not_permitted)]
    for number in table["absent"]:
        program += [step(equal, number, 0, 1), step(give, no_such_call)]
    # clone: only with CLONE_THREAD.
    program += [step(equal, table["clone"], 0, 3), step(load, 16), step(set_bits, 0x00010000, 1, 0)]
    program += [step(give, not_permitted), step(give, allow)]
    return program
