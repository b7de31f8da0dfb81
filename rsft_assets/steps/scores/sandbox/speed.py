"""How slow this machine is, so that a time limit means the same everywhere.

A known-good program of fixed work is timed in the sandbox. Limits are stretched where it takes longer than on the
machine that the reference was taken on, never shortened.
"""

from dataclasses import replace

from rsft_assets.steps.scores.sandbox.pool import Case, CodeLimits, Outcome, Program, SandboxPool

REFERENCE_SECONDS = 0.6
_MOST = 10.0
_WORK = """
def count(limit):
    prime = bytearray([1]) * (limit + 1)
    prime[0:2] = b"\\0\\0"
    for n in range(2, int(limit ** 0.5) + 1):
        if prime[n]:
            for m in range(n * n, limit + 1, n):
                prime[m] = 0
    return sum(prime)
print(count(int(input())))
"""


def slowness(workers: int) -> float:
    """Time of the reference program here over its time there, every worker busy with it, at least 1."""
    program = Program(_WORK, (Case("2000000", "148933"),), lambda output, expected: output.strip() == expected)
    with SandboxPool(workers=workers, limits=CodeLimits(seconds=60.0)) as sandbox:
        outcomes: list[Outcome] = list(sandbox.run([program] * workers))
    slowest = max(outcome.seconds for outcome in outcomes)
    return min(max(1.0, slowest / REFERENCE_SECONDS), _MOST)


def calibrated(limits: CodeLimits, factor: float) -> CodeLimits:
    return replace(limits, seconds=limits.seconds * factor)
