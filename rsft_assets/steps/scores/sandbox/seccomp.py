"""The system calls that a program of the sandbox may make: an allow list, for the kernel's filter.

Comes in: the machine's name. Goes out: a classic BPF program for `prctl(PR_SET_SECCOMP)`. Standard library only, no
package: the server loads this file by its path.

The list holds what the interpreter, the C library and numpy use for files, memory, threads, signals and time. Calls
that are not listed answer EPERM; those of Linux 5.1 and later answer ENOSYS, which callers expect of an older kernel
(the C library then starts threads with `clone`, not `clone3`). New calls are therefore refused without a change here.
"""

import struct

AUDIT_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_NUMBERS = """
read 0 63, write 1 64, readv 19 65, writev 20 66, pread64 17 67, pwrite64 18 68, preadv 295 69, pwritev 296 70,
preadv2 327 286, pwritev2 328 287, lseek 8 62, open 2 -, creat 85 -, openat 257 56, close 3 57, close_range 436 436,
stat 4 -, fstat 5 80, lstat 6 -, newfstatat 262 79, statx 332 291, statfs 137 43, fstatfs 138 44, access 21 -,
faccessat 269 48, faccessat2 439 439, readlink 89 -, readlinkat 267 78, getdents 78 -, getdents64 217 61, getcwd 79 17,
chdir 80 49, fchdir 81 50, umask 95 166, rename 82 -, renameat 264 38, renameat2 316 276, mkdir 83 -, mkdirat 258 34,
mknod 133 -, mknodat 259 33, rmdir 84 -, unlink 87 -, unlinkat 263 35, link 86 -, linkat 265 37, symlink 88 -,
symlinkat 266 36, chmod 90 -, fchmod 91 52, fchmodat 268 53, chown 92 -, fchown 93 55, lchown 94 -, fchownat 260 54,
utime 132 -, utimes 235 -, utimensat 280 88, truncate 76 45, ftruncate 77 46, fallocate 285 47, fadvise64 221 223,
readahead 187 213, sendfile 40 71, copy_file_range 326 285, fsync 74 82, fdatasync 75 83, getxattr 191 8,
lgetxattr 192 9, fgetxattr 193 10, listxattr 194 11, llistxattr 195 12, flistxattr 196 13,
dup 32 23, dup2 33 -, dup3 292 24, pipe 22 -, pipe2 293 59, eventfd 284 -, eventfd2 290 19, fcntl 72 25, ioctl 16 29,
select 23 -, pselect6 270 72, poll 7 -, ppoll 271 73, epoll_create 213 -, epoll_create1 291 20, epoll_ctl 233 21,
epoll_wait 232 -, epoll_pwait 281 22, epoll_pwait2 441 441,
brk 12 214, mmap 9 222, munmap 11 215, mremap 25 216, mprotect 10 226, madvise 28 233, mincore 27 232, msync 26 227,
membarrier 324 283,
clone 56 220, exit 60 93, exit_group 231 94, wait4 61 260, waitid 247 95, futex 202 98, set_robust_list 273 99,
set_tid_address 218 96, rseq 334 293, arch_prctl 158 -, prctl 157 167, sched_yield 24 124, sched_getaffinity 204 123,
sched_setaffinity 203 122, sched_getparam 143 121, sched_getscheduler 145 120, sched_get_priority_max 146 125,
sched_get_priority_min 147 126, kill 62 129, tkill 200 130, tgkill 234 131, rt_sigaction 13 134, rt_sigprocmask 14 135,
rt_sigreturn 15 139, rt_sigpending 127 136, rt_sigsuspend 130 133, rt_sigtimedwait 128 137, sigaltstack 131 132,
restart_syscall 219 128, pause 34 -, alarm 37 -, getitimer 36 102, setitimer 38 103, time 201 -, gettimeofday 96 169,
clock_gettime 228 113, clock_getres 229 114, nanosleep 35 101, clock_nanosleep 230 115,
getpid 39 172, getppid 110 173, gettid 186 178, getpgid 121 155, getpgrp 111 -, getsid 124 156, getuid 102 174,
geteuid 107 175, getresuid 118 148, getgid 104 176, getegid 108 177, getresgid 120 150, getgroups 115 158,
getpriority 140 141, setpriority 141 140, getrlimit 97 163, setrlimit 160 164, prlimit64 302 261, getrusage 98 165,
times 100 153, uname 63 160, sysinfo 99 179, getcpu 309 168, getrandom 318 278
"""
"""Name, number on x86-64, number on arm64 (`-`: it has no such call)."""
_KILL, _ALLOW, _ERRNO = 0x80000000, 0x7FFF0000, 0x00050000
_EPERM, _ENOSYS = 1, 38
_FIRST_OF_LINUX_5_1 = 424
"""From here on a call has the same number on every architecture."""

CHECKED: dict[str, tuple[int, dict[int, int]]] = {
    # The flags of a thread, as glibc and musl give them. Anything else is a process or a new namespace.
    "clone": (0, dict.fromkeys((0x003D0F00, 0x007D0F00), _ALLOW)),
    # PR_SET_NAME, PR_GET_NAME, PR_CAPBSET_READ, PR_SET_VMA.
    "prctl": (0, dict.fromkeys((15, 16, 23, 0x53564D41), _ALLOW)),
    # TCGETS, TCGETS2, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX.
    "ioctl": (1, dict.fromkeys((0x5401, 0x802C542A, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451), _ALLOW)),
    # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_DUPFD_CLOEXEC, F_GETPIPE_SZ, F_GET_SEALS. F_SETLK and
    # F_SETLKW answer 0 and set no lock: the locks of one process never conflict, but those on the host's files would.
    "fcntl": (1, dict.fromkeys((0, 1, 2, 3, 4, 5, 1030, 1032, 1034), _ALLOW) | dict.fromkeys((6, 7), _ERRNO)),
    # The process itself.
    "prlimit64": (0, {0: _ALLOW}),
}
"""Calls of which one argument is checked: its position, and the answer for each value that it may have; else EPERM."""


def call_filter(machine: str) -> bytes:
    """The filter of `machine`, as the kernel's array of instructions. A call of another architecture's table ends the
    process; the x32 interface of x86-64 only has numbers that are not listed.
    """
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06

    def step(code: int, k: int, jump_true: int = 0, jump_false: int = 0) -> bytes:
        return struct.pack("HBBI", code, jump_true, jump_false, k)

    numbers = numbers_of(machine)
    program = [step(load, 4), step(equal, AUDIT_ARCHITECTURES[machine], 1, 0), step(give, _KILL), step(load, 0)]
    for name, (position, answers) in CHECKED.items():
        body = [step(load, 16 + 8 * position)]
        for value, answer in answers.items():
            body += [step(equal, value, 0, 1), step(give, answer)]
        program += [step(equal, numbers.pop(name), 0, len(body) + 1), *body, step(give, _ERRNO | _EPERM)]
    for first, last in _ranges(sorted(numbers.values())):
        program += [step(at_least, first, 0, 2), step(at_least, last + 1, 1, 0), step(give, _ALLOW)]
    program += [step(at_least, _FIRST_OF_LINUX_5_1, 0, 1), step(give, _ERRNO | _ENOSYS), step(give, _ERRNO | _EPERM)]
    return b"".join(program)


def numbers_of(machine: str) -> dict[str, int]:
    """The listed calls that `machine` has."""
    column = 1 + list(AUDIT_ARCHITECTURES).index(machine)
    table = [entry.split() for entry in _NUMBERS.split(",")]
    return {entry[0]: int(entry[column]) for entry in table if entry[column] != "-"}


def _ranges(numbers: list[int]) -> list[tuple[int, int]]:
    """First and last of each run of consecutive numbers: the kernel reads the filter once for each call when it is set,
    and programs start faster with a short one."""
    firsts = [number for number in numbers if number - 1 not in numbers]
    return list(zip(firsts, (number for number in numbers if number + 1 not in numbers), strict=True))
