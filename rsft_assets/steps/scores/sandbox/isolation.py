"""The isolation of the sandbox, by system calls: namespaces, a root of its own, rules for files, no privileges.

Comes in: nothing but the calling process, and the filter of its calls. Goes out: that process, isolated, or an
`OSError`. Standard library
only, Linux on x86-64 or arm64 only; elsewhere `supported()` says no, and code is not run.
"""

import ctypes
import functools
import os
import platform
import struct
import sys
from pathlib import Path

_NEW_NAMESPACES = (
    0x10000000 | 0x00020000 | 0x20000000 | 0x40000000 | 0x08000000 | 0x04000000
)  # user mnt pid net ipc uts
_MS_RDONLY, _MS_BIND, _MS_REC, _MS_PRIVATE, _MS_NOSUID, _MS_NODEV = 1, 4096, 16384, 1 << 18, 2, 4
_MNT_DETACH = 2
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_FILTER = 38, 22, 2
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
"""The call's number on each machine that is supported; the C library has no function for it."""
_MOUNT_SETATTR, _LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 442, 444, 445, 446
_LANDLOCK_VERSION, _LANDLOCK_PATH_BENEATH = 1, 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _MAKE_CHAR, _MAKE_BLOCK, _TRUNCATE = (
    1 << n for n in (0, 1, 2, 3, 6, 11, 14)
)
_NOBODY = 65534


def supported() -> str:
    """Why programs cannot be isolated on this machine, in words; empty where they may."""
    if sys.platform != "linux" or platform.machine() not in _PIVOT_ROOT:
        here = f"{sys.platform} {platform.machine()}"
        return f"no isolation: code is only isolated on Linux (x86-64, arm64), this is {here}"
    return ""


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def enter_namespaces() -> bool:
    """New user, mount, process, network, IPC and host name spaces; processes forked from here on are inside.

    False where the number of their threads cannot be limited: the kernel does not limit those of root, so root changes
    its real user. Files are still opened as the effective one. access(2) asks for the real one, who shares the group,
    hence the mask; it says no of a file that only its owner may read.
    """
    user, group = os.getuid(), os.getgid()
    counted = True
    if user == 0:
        try:
            os.setresuid(_NOBODY, -1, -1)
            os.umask(0o002)
        except OSError:
            counted = False
    _check(_libc().unshare(_NEW_NAMESPACES), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    return counted


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
    _check(libc.syscall(_PIVOT_ROOT[platform.machine()], b".", b"old"), "pivot_root")
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
    done = libc.syscall(_MOUNT_SETATTR, _AT_FDCWD, bytes(target), _AT_RECURSIVE, attributes, len(attributes))
    _check(done, f"read-only {folder}")


def restrict_files() -> bool:
    """Landlock, a second check of every path: /tmp may be written, the rest read, nothing executed.

    False where the kernel has none, or its first version, which refuses to move a file to another folder.
    """
    libc = _libc()
    version = libc.syscall(_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_VERSION)
    if version < 2:
        return False
    # Every right that this version knows: a right that is not handled is not refused.
    handled = (1 << (14 + (version >= 3) + (version >= 5))) - 1
    rules = libc.syscall(_LANDLOCK_CREATE_RULESET, struct.pack("Q", handled), 8, 0)
    _check(min(rules, 0), "landlock_create_ruleset")
    for path, rights in (
        ("/", _READ_FILE | _READ_DIR),
        ("/tmp", handled & ~(_EXECUTE | _MAKE_CHAR | _MAKE_BLOCK)),
        ("/dev/null", handled & (_WRITE_FILE | _TRUNCATE)),
    ):
        place = os.open(path, os.O_PATH)
        rule = struct.pack("=Qi", rights, place)
        _check(libc.syscall(_LANDLOCK_ADD_RULE, rules, _LANDLOCK_PATH_BENEATH, rule, 0), f"landlock rule {path}")
        os.close(place)
    _check(libc.syscall(_LANDLOCK_RESTRICT_SELF, rules, 0), "landlock_restrict_self")
    os.close(rules)
    return True


class CallFilter:
    """A filter of system calls as the kernel takes it. Made before the processes that it is for are forked: a fork
    that makes it itself first copies the memory that it changes.
    """

    def __init__(self, instructions: bytes) -> None:
        self._code = ctypes.create_string_buffer(instructions)
        # struct sock_fprog: a count, padding to a pointer, the pointer.
        self.described = struct.pack("HxxxxxxP", len(instructions) // 8, ctypes.addressof(self._code))
        self.libc = _libc()
        assert self.libc.prctl and self.libc.capset


def give_up_privileges(calls: CallFilter) -> None:
    """No capability is left, none can be gained, and the filter of calls holds for this process and its threads."""
    libc = calls.libc
    _check(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    _check(libc.capset(struct.pack("Ii", 0x20080522, 0), bytes(24)), "capset")
    _check(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_FILTER, calls.described, 0, 0), "seccomp")
