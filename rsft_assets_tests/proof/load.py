"""The same answers and programs judged on an idle machine and beside busy processes: the same verdicts."""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace

from rsft_assets.steps.scores.sandbox.pool import SandboxPool, isolation_problem
from rsft_assets.steps.verdicts.verifier.verifier import Answer, Limits, Verifier
from rsft_assets_tests.busy_machine import busy_machine
from rsft_assets_tests.proof.cases import Bench, Case, NotTried, Seen
from rsft_assets_tests.proof.hostile_answers import generated
from rsft_assets_tests.proof.pipeline import require_same
from rsft_assets_tests.steps.scores.grading import test_code
from rsft_assets_tests.steps.scores.sandbox.test_limits import BURN
from rsft_assets_tests.steps.verdicts.test_verifier import HOSTILE, SLOW_ANSWER

PROMISE = "Verdicts and grades do not depend on what else the machine does"
BUSY, BUSY_SHORT = 20, 4
ROUNDS = 50
FORMULA = r"\boxed{10000000!/9999999!}"


def cases(bench: Bench) -> Iterator[Case]:
    for number in range(1 if bench.short else ROUNDS):
        for kind, judged in (("answers", answers), ("programs", programs)):
            name = f"{kind} {number}"
            yield Case(name, lambda name=name, judged=judged: compare(bench, name, judged), 1_800.0)


def compare(bench: Bench, name: str, judged: Callable[[Bench, str], dict[str, str]]) -> Seen:
    """What one function says of the same input, idle and beside the load."""
    processes = BUSY_SHORT if bench.short else BUSY
    found = []
    for load in (contextlib.nullcontext(), busy_machine(-(-processes // len(os.sched_getaffinity(0))))):
        with load:
            found.append(judged(bench, name))
    require_same("beside the load", found[1], found[0])
    return Seen(f"{len(found[0])} judged beside {processes} busy processes: the same", len(found[0]))


def answers(bench: Bench, name: str) -> dict[str, str]:
    """Generated answers, those of the table, one that needs half of its limit, and one that hangs."""
    asked = generated(bench.random(name), 10 if bench.short else 300)
    asked += [Answer(f"table {number}", "5", text) for number, text in enumerate(HOSTILE[: 2 if bench.short else None])]
    asked += [SLOW_ANSWER, Answer("hang", "5", FORMULA)]
    with Verifier(workers=1, limits=Limits(seconds=2.0)) as verifier:
        judged = list(verifier.judge(asked))
    return {f"{one.id}: {given.response[:200]}": one.reason for one, given in zip(judged, asked, strict=True)}


def programs(bench: Bench, name: str) -> dict[str, str]:
    """Programs of the table whose outcome is one, and some that need up to half of their limit."""
    if problem := isolation_problem():
        raise NotTried(problem)
    table = {name: code for name, (code, expected) in test_code.HOSTILE.items() if len(expected) == 1}
    names = bench.random(name).sample(sorted(table), 4 if bench.short else len(table))
    asked = {name: table[name] for name in names}
    asked |= {f"burns {seconds} s": BURN.format(seconds) for seconds in (0.1, 0.5, 1.0)}
    with SandboxPool(workers=1, limits=replace(test_code.LIMITS, seconds=2.0)) as sandbox:
        return {name: test_code.run(sandbox, code).status for name, code in asked.items()}
