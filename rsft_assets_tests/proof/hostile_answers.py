"""Generated answers for the verifier, and what plain math-verify says of them, in a process that can be killed."""

import json
import random
import time
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from concurrent.futures import TimeoutError as TooLong
from multiprocessing import get_context
from pathlib import Path

from rsft_assets.steps.verdicts.verifier.verifier import Answer, Limits, Verifier
from rsft_assets_tests import steps
from rsft_assets_tests.proof.cases import Lost, Seen

CASES = [
    case
    for case in json.loads((Path(steps.__file__).parent / "verdicts" / "cases.json").read_text(encoding="utf-8"))
    if case["kind"] == "math"
]
PIECES = (
    *("\\boxed{", "}", "$", "\\frac{", "^{", "\\sqrt{", "!", "{", "\\left(", "\\right)", "\\{", "\\}", "[", ")", "="),
    *("\\text{", "\\cdot", "\\pm", "\\infty", "\\%", "1e999", "9^9^9", "10^{10^{10}}", "0.1", "-", "x", ",", " or "),
    *(
        "</think>",
        "<think>",
        "\0",
        "\u202e",
        "\ud7ff",
        "𝟗",
        "٣",
        "\\sum_{k=1}^{10^9} k",
        "\\\\",
        "\n\n",
        "\\begin{",
        "&",
    ),
)
_PLAIN_SECONDS = 4.0


def generated(numbers: random.Random, count: int) -> list[Answer]:
    """Known answers with pieces put in, taken out, doubled, or with the gold of another."""
    found = []
    for number in range(count):
        gold, text = (numbers.choice(CASES)[name] for name in ("gold", "response"))
        if numbers.random() < 0.5:
            text = f"so \\boxed{{{gold}}}"
        for _ in range(numbers.randint(0, 3)):
            at = numbers.randint(0, len(text))
            end = min(len(text), at + numbers.randint(0, 3))
            piece = numbers.choice(PIECES) * numbers.choice((1, 1, 1, 2, 40))
            text = text[:at] + numbers.choice(("", piece, text[at:end] * 2)) + text[end:]
        found.append(Answer(str(number), str(gold), text[:20_000]))
    return found


def plain(gold: str, text: str) -> bool | None:
    """What math-verify says by itself; None where that took so long that it may have given up, or it crashed."""
    from math_verify import parse, verify

    started = time.monotonic()
    try:
        said = bool(verify(parse(f"${gold}$"), parse(text)))
    except Exception:
        return None
    return said if time.monotonic() - started < _PLAIN_SECONDS else None


def plain_verdicts(pairs: Sequence[tuple[str, str]]) -> list[bool | None]:
    found: list[bool | None] = []
    while len(found) < len(pairs):
        executor = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        try:
            for pair in pairs[len(found) :]:
                found.append(executor.submit(plain, *pair).result(timeout=40))
        except (TooLong, BrokenExecutor):
            found.append(None)
        finally:
            for process in list((executor._processes or {}).values()):
                process.kill()
            executor.shutdown(cancel_futures=True)
    return found


def judge_generated(numbers: random.Random, count: int) -> Seen:
    """Every answer gets one verdict, in order; a decided one is that of plain math-verify."""
    answers = generated(numbers, count)
    with Verifier(workers=1, limits=Limits(seconds=1.5)) as verifier:
        judged = list(verifier.judge(answers))
    if [one.id for one in judged] != [one.id for one in answers]:
        raise Lost(f"{len(judged)} verdicts of {len(answers)} answers, or in another order")
    if crashed := [answers[int(one.id)] for one in judged if one.reason == "crash"]:
        raise Lost(f"{len(crashed)} answers ended a worker: {crashed[0]}")
    decided = [(answers[int(one.id)], one) for one in judged if one.verdict in ("correct", "wrong")]
    said = plain_verdicts([(answer.gold, answer.response.rpartition("</think>")[2]) for answer, _ in decided])
    compared = 0
    for (answer, judgement), theirs in zip(decided, said, strict=True):
        if theirs is not None and theirs != (judgement.verdict == "correct"):
            raise Lost(f"{judgement.verdict}/{judgement.reason}, math-verify says {theirs}: {answer}")
        compared += theirs is not None
    return Seen(f"{count} answers, {len(decided)} decided, {compared} compared with plain math-verify", count)
