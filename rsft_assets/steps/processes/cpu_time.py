"""CPU time of another process, for limits that do not depend on the load.

The scheduler's own clock. It is exact; `ITIMER_PROF` and `RLIMIT_CPU` count ticks and were up to 12 % ahead on a busy
machine. Standard library only, nothing of the package: the sandbox's server loads this file by its path.
"""

import time

_SCHEDULER_CLOCK = 2
"""CPUCLOCK_SCHED, as clock_getcpuclockid(3) adds it to a process id; it needs no /proc."""


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and its threads until now, also where it has ended and is not yet waited for."""
    try:
        return time.clock_gettime(~pid << 3 | _SCHEDULER_CLOCK)
    except OSError:  # not Linux, or just gone
        return 0.0
