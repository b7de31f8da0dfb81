"""The filter of system calls, for both architectures, as the kernel would read it."""

import errno
import re
import struct
from pathlib import Path

import pytest

from rsft_assets.steps.scores.sandbox.seccomp import AUDIT_ARCHITECTURES, CHECKED, call_filter, numbers_of

HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
ALLOW, KILL = "allow", "kill"
ONLY_X86_64 = {
    *("open", "creat", "stat", "lstat", "access", "readlink", "getdents", "rename", "mkdir", "mknod", "rmdir"),
    *("unlink", "link", "symlink", "chmod", "chown", "lchown", "utime", "utimes", "dup2", "pipe", "eventfd", "select"),
    *("poll", "epoll_create", "epoll_wait", "arch_prctl", "getpgrp", "pause", "alarm", "time"),
}
"""Calls that arm64 never had: its C library makes them from newer ones, which are listed."""


def answer(machine, number, *arguments, architecture=None):
    """What the filter answers: the instructions are read as the kernel reads them."""
    data = struct.pack("<IIQ6Q", number, architecture or AUDIT_ARCHITECTURES[machine], 0, *(*arguments, *(0,) * 6)[:6])
    program = list(struct.iter_unpack("HBBI", call_filter(machine)))
    at = value = 0
    while True:
        code, jump_true, jump_false, k = program[at]
        at += 1
        if code == 0x20:
            [value] = struct.unpack_from("<I", data, k)
        elif code == 0x15:
            at += jump_true if value == k else jump_false
        elif code == 0x35:
            at += jump_true if value >= k else jump_false
        else:
            assert code == 0x06
            return {0x7FFF0000: ALLOW, 0x80000000: KILL}.get(k, k & 0xFFFF)


def published(machine):
    """Names and numbers of the kernel's own header."""
    if not HEADERS[machine].is_file():
        pytest.skip(f"{HEADERS[machine]} is not here; Debian has it in linux-libc-dev")
    found = re.findall(r"^#define __NR(3264)?_(\w+)\s+(?:__NR3264_)?(\w+)\s*$", HEADERS[machine].read_text(), re.M)
    wide = {name: number for is_wide, name, number in found if is_wide}
    return {name: int(wide.get(number, number)) for _, name, number in found if wide.get(number, number).isdigit()}


@pytest.mark.parametrize("machine", HEADERS)
def test_numbers_are_those_of_the_kernels_headers(machine):
    theirs, ours = published(machine), numbers_of(machine)
    assert {name: theirs.get(name) for name in ours} == ours


def test_both_architectures_have_the_same_calls():
    assert numbers_of("x86_64").keys() - numbers_of("aarch64").keys() == ONLY_X86_64
    assert numbers_of("aarch64").keys() <= numbers_of("x86_64").keys()


@pytest.mark.parametrize("machine", HEADERS)
def test_only_listed_calls_are_allowed(machine):
    listed = {number: name for name, number in numbers_of(machine).items()}
    assert len(set(listed.values())) == len(numbers_of(machine)) > 120
    for number in range(600):
        expected = ALLOW if number in listed else errno.ENOSYS if number >= 424 else errno.EPERM
        if listed.get(number) not in CHECKED:
            assert answer(machine, number) == expected, (number, listed.get(number))
    assert answer(machine, numbers_of(machine)["read"], architecture=3) == KILL
    # The x32 interface, and a number that is negative.
    assert answer(machine, 0x40000000) == answer(machine, 0xFFFFFFFF) == errno.ENOSYS


@pytest.mark.parametrize("machine", HEADERS)
@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("clone", (0x003D0F00,), ALLOW),
        ("clone", (17,), errno.EPERM),  # fork
        ("clone", (0x4111,), errno.EPERM),  # vfork
        ("clone", (0x003D0F00 | 0x10000000,), errno.EPERM),  # a thread in a new user namespace
        ("prctl", (15,), ALLOW),
        ("prctl", (22,), errno.EPERM),
        ("ioctl", (0, 0x5401), ALLOW),
        ("ioctl", (0, 0x5412), errno.EPERM),  # TIOCSTI: types on a terminal
        ("fcntl", (3, 3), ALLOW),
        ("fcntl", (3, 1030), ALLOW),
        *(("fcntl", (3, command), 0) for command in (6, 7)),
        # F_SETOWN, F_SETSIG, F_SETOWN_EX, F_OFD_SETLK, F_OFD_SETLKW, F_SETLEASE, F_NOTIFY, F_SETPIPE_SZ.
        *(("fcntl", (3, command), errno.EPERM) for command in (8, 10, 15, 37, 38, 1024, 1026, 1031)),
        ("prlimit64", (0, 7), ALLOW),
        ("prlimit64", (1, 7), errno.EPERM),
    ],
)
def test_arguments_are_checked(machine, name, arguments, expected):
    assert answer(machine, numbers_of(machine)[name], *arguments) == expected
