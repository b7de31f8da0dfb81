"""Mathematics (MATH500, AIME24, nano sums): an answer is right where the verifier says it equals gold.

`strict` judges what follows the last `</think>`, as the paper says; `authors` judges the whole text, as its code does.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rsft_assets.specs.benchmarks import Benchmark
from rsft_assets.specs.hub import Generator
from rsft_assets.steps.scores.grading.task import VOTED, Grade, Item, Locked, Sample, Task, undecided
from rsft_assets.steps.scores.grading.tools import Tools

INSTRUCTION = "\n Please reason step by step, and put your final answer within \\boxed{}."
"""The space after the newline is the authors'; their training data has none."""
SCOPES = {"strict": "tail", "authors": "whole"}
_NO_GOLD = ("gold-missing", "gold-unreadable")


def read(row: Mapping[str, Any]) -> Locked:
    """MATH-500 (problem, answer, solution, subject, level, unique_id) and AIME (problem, answer)."""
    kept = ("solution", "subject", "level", "unique_id", "id", "url", "year")
    fields = {name: row[name] for name in kept if name in row}
    return Locked(row["problem"], str(row["answer"]), row.get("subject"), fields)


def prompt(item: Item, benchmark: Benchmark) -> str:
    if "prompt" in item.fields:
        return str(item.fields["prompt"])
    # Nano models know no instruction: their training queries have none.
    return item.question if isinstance(benchmark.origin, Generator) else item.question + INSTRUCTION


def grade(samples: Iterable[Sample], grader: str, benchmark: Benchmark, tools: Tools) -> Iterator[list[Grade]]:
    from rsft_assets.steps.verdicts.verifier.verifier import Answer

    answers = (
        Answer(s.id, s.item.gold or "", s.text, scope=SCOPES[grader], finish_reason=s.finish_reason) for s in samples
    )
    for judgement in tools.verifier.judge(answers):
        yield [grade_of(judgement.verdict, judgement.reason, judgement.extracted)]


def grade_of(verdict: str, reason: str, extracted: str | None) -> Grade:
    """No answer is a wrong answer; a gold that cannot be read says nothing about the answer."""
    if verdict == "undecided" or reason in _NO_GOLD:
        return undecided("accuracy", reason, extracted)
    return Grade("accuracy", float(verdict == "correct"), reason, extracted)


TASK = Task(prompt, grade, (VOTED,), lambda published: published.items(read), asks="math")
