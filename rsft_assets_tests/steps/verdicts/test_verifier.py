"""The verifier through its public face: a table of cases, hostile answers, order, limits, and what dies with it."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from math_verify import parse, verify

from rsft_assets.specs.errors import StepError
from rsft_assets.steps.processes.program import Stopped
from rsft_assets.steps.verdicts.verifier.fork_server_wire import ORDER
from rsft_assets.steps.verdicts.verifier.limits import REASONS
from rsft_assets.steps.verdicts.verifier.verifier import VERDICTS, VERIFIER_CONFIG, Answer, Limits, Verifier
from rsft_assets.steps.verdicts.verifier.workers import ForkServer, Worker, cpu_seconds
from rsft_assets_tests.busy_machine import busy_machine

CASES = json.loads((Path(__file__).parent / "cases.json").read_text())
HOSTILE = (
    r"\boxed{10000000!/9999999!}",
    r"\boxed{\binom{10^9}{5\cdot 10^8}}",
    r"$10^{10^{10^{10}}}$",
    "9^9^9^9^9",
    "{" * 10_000 + "}" * 10_000,
    r"\boxed{} " * 5_000,
    r"\[ " + r"\boxed{}. " * 3_000,
    r"\boxed{" * 5_000,
    "$" * 20_000,
    "So the answer is the same. " * 10_000,
)
NOBODY_LEFT_SECONDS = 20


@pytest.fixture(scope="module")
def verifier():
    with Verifier(workers=2, limits=Limits(seconds=1.5)) as running:
        yield running


def answer(number: int, case: dict) -> Answer:
    given = {name: case[name] for name in ("gold", "response", "kind", "scope", "finish_reason") if name in case}
    return Answer(str(number), **given)


@pytest.mark.parametrize(
    ("gold", "response", "verdict", "asked"),
    [
        ("12", r"4 + 8 = 12. The answer is \boxed{12}.", "correct", 0),
        ("12", r"\boxed{12}, which is \boxed{12}.", "correct", 0),
        ("-3", "So the answer is -3.", "correct", 0),
        ("12", r"\boxed{4} and \boxed{8}", "wrong", 1),
        ("12", r"$4 + 8$ is \boxed{12}.", "correct", 1),
        ("12", r"\boxed{4 + 8}", "correct", 1),
        ("12", r"\boxed{012}", "correct", 1),
        (r"\frac{1}{2}", "The answer is 0.5.", "correct", 1),
    ],
)
def test_formulas_of_every_shape_are_read_once_and_only_where_one_may_be_met(
    monkeypatch, gold, response, verdict, asked
):
    orders = []
    order = ForkServer._order
    monkeypatch.setattr(ForkServer, "_order", lambda *given: orders.append(given[1]) or order(*given))
    with Verifier(workers=2) as running:
        judged = list(running.judge(Answer(str(number), gold, response) for number in range(100)))
    assert {judgement.verdict for judgement in judged} == {verdict}
    assert orders.count(b"W") == asked


def test_cases(verifier):
    judged = list(verifier.judge(answer(number, case) for number, case in enumerate(CASES)))
    wrong = [
        (case["source"], judgement.verdict, judgement.reason)
        for case, judgement in zip(CASES, judged, strict=True)
        if (judgement.verdict, judgement.reason) != (case["verdict"], case["reason"])
    ]
    assert not wrong


@pytest.mark.parametrize("case", [case for case in CASES if case["kind"] == "math"], ids=lambda case: case["source"])
def test_correct_is_what_math_verify_calls_equal(case):
    if case["verdict"] in ("correct", "wrong"):
        text = case["response"] if case.get("scope") == "whole" else case["response"].rpartition("</think>")[2]
        assert verify(parse(f"${case['gold']}$"), parse(text)) == (case["verdict"] == "correct")


def test_the_processor_time_of_workers_counts_as_their_owners():
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with Verifier(workers=1) as running:
        list(
            running.judge(Answer(str(number), "5", f"{number} + 5 = {number + 5}. It is 5.") for number in range(3_000))
        )
        [worker] = running._pool.workers
        spent = cpu_seconds(worker.pid) + cpu_seconds(running._pool._fork_server._process.pid)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert cpu_seconds_of(after) - cpu_seconds_of(before) >= 0.9 * spent


def cpu_seconds_of(used):
    return used.ru_utime + used.ru_stime


@pytest.mark.slow
def test_hostile_answers_get_a_verdict_and_stop_nobody(verifier):
    answers = [Answer(f"h{number}", "5", text) for number, text in enumerate(HOSTILE)]
    answers = [
        one
        for pair in zip(answers, (Answer(f"ok{n}", "5", r"\boxed{5}") for n in range(99)), strict=False)
        for one in pair
    ]
    judged = list(verifier.judge(answers))
    assert [judgement.id for judgement in judged] == [one.id for one in answers]
    assert {judgement.verdict for judgement in judged if judgement.id.startswith("ok")} == {"correct"}
    hostile = {judgement.id: judgement for judgement in judged if judgement.id.startswith("h")}
    assert {hostile[f"h{number}"].verdict for number in range(4)} == {"undecided"}
    assert all(judgement.verdict != "correct" and judgement.reason in REASONS for judgement in hostile.values())


@pytest.mark.slow
def test_what_reached_a_limit_is_not_tried_again(verifier, monkeypatch):
    ends = []
    real = verifier._pool.replace
    monkeypatch.setattr(verifier._pool, "replace", lambda worker: ends.append(worker.pid) or real(worker))
    once = list(verifier.judge(Answer(str(n), "41", r"\boxed{10000001!/9999999!}") for n in range(40)))
    assert [judgement.reason for judgement in once] == ["time"] * 40
    assert 1 <= len(ends) < 5


@pytest.mark.slow
def test_what_was_at_hand_when_time_ran_out_is_not_blamed_for_what_came_before(verifier):
    texts = [rf"$\left({number}+$" for number in range(8_000)]
    many, *alone = verifier.judge([Answer("", "5", " ".join(texts)), *(Answer("", "5", text) for text in texts)])
    assert many.reason == "time"
    assert {one.reason for one in alone} == {"answer-unread"}


SLOW_ANSWER = Answer("slow", "41", r"\boxed{200001!/199999!}")
"""Takes about 0.6 s of CPU time, all of it in one step, and is wrong."""


@pytest.mark.slow
def test_a_step_that_gets_no_cpu_time_for_longer_than_the_limit_is_decided():
    with Verifier(workers=1, limits=Limits(seconds=2.0)) as own:
        # The worker at hand once a formula was met is the one that stays.
        assert [one.reason for one in own.judge([Answer("", "5", "$2+3$")])] == ["equal"]
        (worker,) = own._pool.start()
        seen, stopped = worker._board()[0], []

        def stop_in_a_step():
            while worker._board()[0] == seen:
                time.sleep(0.001)
            for number, pause in ((signal.SIGSTOP, 4.0), (signal.SIGCONT, 0.0)):
                os.kill(worker.pid, number)
                stopped.append(worker.busy)
                time.sleep(pause)

        stopper = threading.Thread(target=stop_in_a_step)
        stopper.start()
        assert [one.reason for one in own.judge([SLOW_ANSWER])] == ["different"]
        stopper.join()
    assert stopped == [True, True]


@pytest.mark.slow
def test_a_step_that_takes_little_cpu_time_ends_by_wall_time():
    with Verifier(workers=1, limits=Limits(seconds=600.0, wall_seconds=1.0)) as own:
        judged = list(own.judge([Answer("a", "5", r"\boxed{10000000!/9999999!}"), Answer("b", "5", "5")]))
    assert [one.reason for one in judged] == ["time", "equal"]


@pytest.mark.slow
def test_verdicts_are_the_same_idle_and_on_a_busy_machine():
    answers = [SLOW_ANSWER, Answer("hang", "5", r"\boxed{10000000!/9999999!}"), Answer("quick", "5", "5")]
    with Verifier(workers=1, limits=Limits(seconds=2.0)) as own:
        idle = [one.reason for one in own.judge(answers)]
        with busy_machine(6):
            busy = [one.reason for one in own.judge([replace(SLOW_ANSWER, gold="43"), *answers[1:]])]
    assert idle == busy == ["different", "time", "equal"]


@pytest.mark.slow
def test_a_gold_beyond_the_limits_leaves_its_answers_undecided(verifier):
    judged = list(verifier.judge(Answer("", r"\sum_{k=1}^{10^9} \frac{1}{k!}", rf"\boxed{{{n}}}") for n in range(3)))
    assert {judgement.verdict for judgement in judged} <= {"undecided", "wrong"}


@pytest.mark.slow
def test_memory_beyond_the_limit_is_undecided():
    with Verifier(workers=1, limits=Limits(seconds=20, memory_bytes=170_000_000)) as small:
        judged = list(small.judge([Answer("a", "5", r"\boxed{\{" + "1," * 150_000 + r"1\}}"), Answer("b", "5", "5")]))
    assert [(one.verdict, one.reason) for one in judged] == [("undecided", "memory"), ("correct", "equal")]


def test_a_worker_full_of_what_it_has_learnt_is_replaced_and_nobody_is_blamed(verifier, monkeypatch):
    full = [worker.pid for worker in verifier._pool.start()]
    monkeypatch.setattr(Worker, "is_full", lambda worker, limits: worker.pid in full)
    judged = list(verifier.judge(Answer(str(number), "5", rf"\boxed{{{number}}}") for number in range(600)))
    assert [judgement.id for judgement in judged if judgement.verdict == "correct"] == ["5"]
    assert sum(judgement.verdict == "wrong" for judgement in judged) == 599
    assert not {worker.pid for worker in verifier._pool.start()} & set(full)


def test_a_killed_worker_costs_one_answer_at_most(verifier):
    def answers():
        for number in range(3_000):
            if number == 1_500:
                os.kill(verifier._pool.start()[0].pid, signal.SIGKILL)
            yield Answer(str(number), "5", rf"\boxed{{{number}}}")

    judged = list(verifier.judge(answers()))
    assert [judgement.id for judgement in judged] == [str(number) for number in range(3_000)]
    assert sum(judgement.reason == "crash" for judgement in judged) <= 1


@pytest.mark.slow
def test_a_stop_between_an_order_and_its_reply_stays_a_stop(monkeypatch):
    real, sent = ForkServer._order, []

    def stopped(server, command, pid, descriptors=None):
        if command == b"K" and not sent:
            sent.append(socket.send_fds(server._control, [ORDER.pack(command, pid)], []))
            raise Stopped("SIGTERM")
        return real(server, command, pid, descriptors)

    def answers():
        for number in range(3_000):
            if number == 1_500:
                os.kill(own._pool.start()[0].pid, signal.SIGKILL)
            yield Answer(str(number), "5", rf"\boxed{{{number}}}")

    monkeypatch.setattr(ForkServer, "_order", stopped)
    with Verifier(workers=2) as own, pytest.raises(Stopped):
        list(own.judge(answers()))
    assert sent


def test_order_of_golds_does_not_change_verdicts(verifier):
    answers = [Answer(f"{gold}-{n}", str(gold), rf"\boxed{{{n}}}") for gold in range(12) for n in range(12)]
    mixed = sorted(answers, key=lambda one: hash(one.id[::-1]))
    grouped = {judgement.id: judgement.verdict for judgement in verifier.judge(answers)}
    assert {judgement.id: judgement.verdict for judgement in verifier.judge(mixed)} == grouped
    assert sum(verdict == "correct" for verdict in grouped.values()) == 12


@pytest.mark.slow
def test_reads_ahead_no_further_than_asked():
    drawn = []

    def answers():
        for number in range(5_000):
            drawn.append(number)
            yield Answer(str(number), "5", "5")

    with Verifier(workers=1, limits=Limits(waiting_answers=300)) as bounded:
        judged = bounded.judge(answers())
        next(judged)
        assert len(drawn) < 1_000
        judged.close()
        assert [one.verdict for one in bounded.judge([Answer("", "5", "5")])] == ["correct"]


def test_extracted_is_bounded(verifier):
    (judged,) = verifier.judge([Answer("", "5", r"\boxed{" + "7" * 1_000 + "}")])
    assert judged.extracted is not None and len(judged.extracted) <= Limits.extracted_chars


def test_wrong_kind_is_an_error_that_names_it(verifier):
    with pytest.raises(StepError, match="kind 'maths'"):
        list(verifier.judge([Answer("x", "5", "5", kind="maths")]))


def test_config_names_versions_and_verdicts_are_closed():
    assert set(VERIFIER_CONFIG["versions"]) == {"math-verify", "latex2sympy2_extended", "sympy"}
    assert {words.split(":")[0] for words in REASONS.values()} == set(VERDICTS)
    json.dumps(VERIFIER_CONFIG)


OWNER = """
import sys
from rsft_assets.steps.verdicts.verifier.verifier import Answer, Limits, Verifier
assert not {"torch", "vllm", "transformers", "sympy"} & set(sys.modules)
v = Verifier(workers=2, limits=Limits(seconds=600))
list(v.judge([Answer("", "5", "5")]))
print(v._pool._fork_server._process.pid, *[w.pid for w in v._pool.start()], flush=True)
list(v.judge([Answer("", "5", r"\\boxed{10000000!/9999999!}")] * 2))
"""


@pytest.mark.slow
def test_workers_die_with_an_owner_that_is_killed():
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True)
    pids = [int(pid) for pid in owner.stdout.readline().split()]
    assert len(pids) == 3
    owner.kill()
    owner.wait()
    until = time.monotonic() + NOBODY_LEFT_SECONDS
    while (left := [pid for pid in pids if alive(pid)]) and time.monotonic() < until:
        time.sleep(0.05)
    assert not left


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
