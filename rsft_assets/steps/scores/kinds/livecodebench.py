"""LiveCodeBench: programs found in answers, run in the sandbox against the private tests, the first failure ends it.

`strict` is LiveCodeBench's own harness, with the sandbox in place of its guard: the last block after the thinking, its
names defined, values of functions equal as Python compares them, output equal line by line. The prompt does not show
the starter code, so where an answer does not use the published name, what it defines is called
(`sandbox/execution.py`). `authors` does what their code does (LiveCodeBench/livecodebench_utils.py at 3378e2b): the
last block anywhere, nothing defined, the word before the first "(" is what is called, output equal as one text, and one
time for all tests of a problem, here of the CPU. A test that could not be run for want of isolation is "not run", never
a failure; a time-out is said to be one.
"""

import base64
import contextlib
import io
import json
import pickle
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from itertools import tee
from typing import Any

from rsft_assets.specs.benchmarks import Benchmark
from rsft_assets.specs.errors import StepError
from rsft_assets.steps.scores.grading.task import ACCURACY, Grade, Item, Locked, Sample, Task, not_run
from rsft_assets.steps.scores.grading.text import graded_part
from rsft_assets.steps.scores.grading.tools import Tools
from rsft_assets.steps.scores.sandbox.pool import NO_ISOLATION, Case, Outcome, Program, isolation_problem

_MOST_TEST_BYTES = 1 << 30
"""Unpacked tests of one problem; a few bytes can be made to unpack to any number."""
_BLOCK = re.compile(r"```python[^\n]*\n(.*?)```", re.DOTALL)
_AUTHORS_BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
_MAIN = '__name__ == "__main__"'
_OPENING = (
    "You are an expert Python programmer. You will be given a question (problem specification) and will generate a "
    "correct Python program that matches the specification and passes all tests."
)
_FENCE = "```python\n# YOUR CODE HERE\n```"
_STDIN = (
    "Read the inputs from stdin solve the problem and write the answer to stdout (do not directly test on the sample "
    f"inputs). Enclose your code within delimiters as follows: {_FENCE}. Ensure that when the python program runs, it "
    "reads the inputs, runs the algorithm and writes output to STDOUT."
)
_FUNCTION = (
    f"Do not directly test on the sample inputs. Enclose your code within delimiters as follows: {_FENCE}. "
    "Return the function body without invoking it at the final solution."
)


def read(row: Mapping[str, Any]) -> Locked:
    """Tests stay encoded as published; fields: starter_code, tests, platform, dates."""
    kept = ("starter_code", "public_test_cases", "private_test_cases", "metadata", "platform", "question_id")
    fields = {name: row.get(name) for name in kept}
    fields["contest_date"] = str(row.get("contest_date") or "")
    return Locked(row["question_content"], None, row.get("difficulty"), fields)


def prompt(item: Item, benchmark: Benchmark) -> str:
    """The authors put nothing between the parts, and do not show the starter code of function problems."""
    return f"{_OPENING}{item.question}{_STDIN if entry_of(item) is None else _FUNCTION}"


def entry_of(item: Item) -> str | None:
    """Published name of the function to call; None for a program that reads standard input."""
    metadata = item.fields.get("metadata")
    named = json.loads(metadata) if isinstance(metadata, str) and metadata.strip() else (metadata or {})
    if named.get("func_name"):
        return str(named["func_name"])
    starter = str(item.fields.get("starter_code") or "")
    names = re.findall(r"def\s+(\w+)\s*\(", starter)
    return names[-1] if names else None


def cases_of(item: Item) -> tuple[Case, ...]:
    """The private tests; the public ones where there are no others."""
    for name in ("private_test_cases", "public_test_cases"):
        published = item.fields.get(name)
        if published:
            try:
                return tuple(Case(case["input"], case["output"]) for case in decoded(published))
            except (ValueError, TypeError, KeyError, zlib.error, pickle.UnpicklingError, EOFError) as error:
                raise StepError(
                    f"item {item.item_id}: its {name} cannot be read ({type(error).__name__}: {str(error)[:200]}); "
                    "fetch the benchmark's files again and lock it with --force"
                ) from error
    raise StepError(f"item {item.item_id}: no tests; lock the benchmark again from its published files")


def decoded(published: Any) -> list[dict[str, str]]:
    """Test cases as they are published: JSON, or JSON in a pickle of one string, compressed, in base64."""
    if isinstance(published, str):
        try:
            cases = json.loads(published)
        except ValueError:
            cases = json.loads(_OnlyText(io.BytesIO(_unpacked(base64.b64decode(published)))).load())
    else:
        cases = published
    return list(cases)


def _unpacked(data: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(data, _MOST_TEST_BYTES)
    if not unpacker.eof:
        raise ValueError(f"cut short, or more than {_MOST_TEST_BYTES >> 20} MiB")
    return content


class _OnlyText(pickle.Unpickler):
    """Refuses everything that a pickle could run."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"tests name {module}.{name}; only text is read")


def code_in(text: str, grader: str) -> str | None:
    form = _BLOCK if grader == "strict" else _AUTHORS_BLOCK
    blocks = form.findall(graded_part(text, grader) or "")
    if not blocks:
        return None
    return blocks[-1] if grader == "strict" else _authors_code(blocks[-1])


def _authors_code(block: str) -> str:
    code = block.partition("</code>")[0].replace("```python", "").replace("# YOUR CODE HERE", "")
    return code.partition("```")[0].replace("<code>", "").strip()


def same_output(output: str, expected: str) -> bool:
    """Equal line by line, white space at ends apart; numbers may be written in another way."""
    ours, theirs = (_lines(text) for text in (output, expected))
    return len(ours) == len(theirs) and all(a == b or _same_numbers(a, b) for a, b in zip(ours, theirs, strict=True))


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().split("\n")]


def _same_numbers(ours: str, theirs: str) -> bool:
    try:
        return [Decimal(word) for word in ours.split()] == [Decimal(word) for word in theirs.split()]
    except InvalidOperation:
        return False


def same_value(output: str, expected: str) -> bool:
    try:
        return bool(json.loads(output) == json.loads(expected))
    except (ValueError, RecursionError):
        return False


def authors_output(output: str, expected: str) -> bool:
    """The same text but for white space around it; a "-" at the end of the expected one does not count."""
    wanted = expected.strip()
    return output.strip() == (wanted[:-1].rstrip() if wanted.endswith("-") else wanted)


def authors_value(output: str, expected: str) -> bool:
    """Equal to what JSON makes of the expected text, or to the text where it is none."""
    try:
        wanted = json.loads(expected.strip())
    except (ValueError, RecursionError):
        wanted = expected.strip()
    try:
        return bool(json.loads(output) == wanted)
    except (ValueError, RecursionError):
        return False


def authors_arguments(given: str) -> list[Any]:
    """A test's input as the authors read it; raises ValueError where they fail."""
    if "=" in given:
        values = []
        for part in given.split(","):
            _, value = part.split("=")
            values.append(_number(value.strip(), value.strip().strip('"')))
        return values
    return [_argument(line.strip()) for line in given.split("\n") if line.strip()]


def _argument(line: str) -> Any:
    if line.startswith('"') and line.endswith('"'):
        return line.strip('"')
    if line.startswith("[") and line.endswith("]"):
        return json.loads(line)
    return _number(line, line)


def _number(text: str, other: str) -> int | float | str:
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return other


def grade(samples: Iterable[Sample], grader: str, benchmark: Benchmark, tools: Tools) -> Iterator[list[Grade]]:
    # Answers without code skip the sandbox; the order of the others is that of the samples.
    first, second = tee((sample, code_in(sample.text, grader)) for sample in samples)
    program = _program if grader == "strict" else _authors_program
    outcomes = tools.sandbox.run(program(sample.item, code) for sample, code in second if code is not None)
    for _, code in first:
        if code is None:
            yield [Grade("accuracy", 0.0, "no-code")]
            continue
        yield [_grade(next(outcomes))]


def _program(item: Item, code: str) -> Program:
    entry = entry_of(item)
    return Program(code, cases_of(item), same_output if entry is None else same_value, entry)


def _authors_program(item: Item, code: str) -> Program:
    cases = cases_of(item)
    seconds = 7.0 * len(cases) + 5.0
    if entry_of(item) is None:
        code = f'__name__ = "__main__"\n{code}' if _MAIN in code else code
        return Program(code, cases, authors_output, bare=True, seconds_of_all=seconds)
    try:
        read = [Case("\n".join(map(json.dumps, authors_arguments(case.given))), case.expected) for case in cases]
    except (ValueError, RecursionError):
        read = []
    # Without a word before the first "(", or with a test that they cannot read, their run fails.
    name = (code.partition("(")[0].split() or [""])[-1] if read else ""
    return Program(code, tuple(read) or cases[:1], authors_value, name, bare=True, seconds_of_all=seconds)


def _grade(outcome: Outcome) -> Grade:
    if outcome.status == NO_ISOLATION:
        return not_run("accuracy", f"no isolation: {outcome.detail}")
    return Grade("accuracy", float(outcome.status == "passed"), outcome.status, f"{outcome.tests_passed} tests passed")


TASK = Task(
    prompt,
    grade,
    (ACCURACY,),
    lambda published: published.items(read, "test.jsonl", "test2.jsonl"),
    isolation_problem,
)
