"""LiveCodeBench's two graders on the same answers: its own harness (`strict`), and what the authors' code does."""

import json
import re

import pytest

from rsft_assets.specs.placement import Placement
from rsft_assets.steps.scores.grading.task import Item, Sample
from rsft_assets.steps.scores.grading.tools import Tools
from rsft_assets.steps.scores.kinds.livecodebench import TASK, authors_arguments, code_in, prompt
from rsft_assets.steps.scores.sandbox.pool import Program, SandboxPool
from rsft_assets_tests.steps.scores.grading.test_code import _function_problem, _leetcode_rows, needs_isolation
from rsft_assets_tests.steps.small_chain import benchmark


def item(kind, *cases, question="Solve."):
    tests = json.dumps([{"input": given, "output": expected, "testtype": kind} for given, expected in cases])
    starter = "class Solution:\n    def twoSum(self, nums: List[int], target: int) -> List[int]:\n        "
    fields = {"private_test_cases": tests, "public_test_cases": tests}
    fields |= {"starter_code": starter, "metadata": '{"func_name": "twoSum"}'} if kind == "functional" else {}
    return Item("i", question, None, "easy", fields)


SUM = item("functional", ("[2, 7]\n9", "[0, 1]"))
ONE = item("functional", ("[2, 7]\n9", "1"))
TEXT = item("functional", ('"a\\"b"', '"a\\"b"'))
TRUE = item("functional", ("true", "true"))
EQUALS = item("functional", ('"a=b"', '"a=b"'))
LINE = item("stdin", ("3\n", "1 2\n"))
DASH = item("stdin", ("3\n", "1 2-\n"))
NUMBER = item("stdin", ("3\n", "2.0\n"))

# what the answer's block holds, the problem, whether it passes by `strict` and by the authors' code
CODES = {
    "the published name": ("def twoSum(nums, target):\n    return [0, 1]", SUM, True, True),
    "a name of its own": ("def two_sum(nums, target):\n    return [0, 1]", SUM, True, True),
    "in a class": ("class Solution:\n    def twoSum(self, nums, target):\n        return [0, 1]", SUM, True, False),
    "in a class that takes nothing": (
        "class Solution():\n  def twoSum(self, a, b):\n    return [0, 1]",
        SUM,
        True,
        False,
    ),
    "a type that is not imported": ("def f(nums: List[int], target: int):\n    return [0, 1]", SUM, True, False),
    "a type that is": ("from typing import List\ndef f(nums: List[int], t):\n    return [0, 1]", SUM, True, True),
    "a helper first": ("def half(n):\n    return n\ndef f(nums, target):\n    return [0, 1]", SUM, True, False),
    "a decorator with arguments": ("@lru_cache(None)\ndef f(n):\n    return n", TRUE, True, False),
    "a call before": ("print(1)\ndef f(nums, target):\n    return [0, 1]", SUM, True, False),
    "a comment with a bracket": ("# O(n)\ndef f(nums, target):\n    return [0, 1]", SUM, True, False),
    "a tuple": ("def f(nums, target):\n    return 0, 1", SUM, True, False),
    "a truth for a number": ("def f(nums, target):\n    return True", ONE, True, True),
    "a number in a text": ("def f(nums, target):\n    return '1'", ONE, False, False),
    "a wrong value": ("def f(nums, target):\n    return [1, 0]", SUM, False, False),
    "it ends the program": ("def f(nums, target):\n    exit()", SUM, False, False),
    "a text with a quote": ("def f(text):\n    return text", TEXT, True, False),
    "a truth as input": ("def f(flag):\n    return flag", TRUE, True, False),
    "a sign of equality": ("def f(text):\n    return text", EQUALS, True, False),
    "stdin": ("n = int(input())\nprint(1, n - 1)", LINE, True, True),
    "a space at the end": ("print('1 2 ')", LINE, True, True),
    "a space inside a line": ("print('1 2 ')\nprint('3')", item("stdin", ("", "1 2\n3")), True, False),
    "a number in another form": ("print(2)", NUMBER, True, False),
    "a dash at the end": ("print('1 2')", DASH, False, True),
    "names that are not imported": ("print(1, sqrt(4) == 2 and 2)", LINE, True, False),
    "main in double quotes": ('if __name__ == "__main__":\n    print(1, 2)', LINE, True, True),
    "main in single quotes": ("if __name__ == '__main__':\n    print(1, 2)", LINE, True, False),
    "the buffer of stdin": ("import sys\nn = int(sys.stdin.buffer.readline())\nprint(1, n - 1)", LINE, True, False),
    "stdin by its number": ("n = int(open(0).read())\nprint(1, n - 1)", LINE, True, False),
    "an exit after the answer": ("import sys\nprint(1, 2)\nsys.exit()", LINE, True, False),
    "the plain exit": ("print(1, 2)\nexit()", LINE, True, False),
    "a module that is taken away": ("import resource\nprint(1, 2)", LINE, True, False),
    "depth": ("def f(n):\n    return n and 1 + f(n - 1)\nprint(1, f(5000) - 4998)", LINE, True, False),
}


@needs_isolation
@pytest.mark.parametrize("name", CODES)
def test_what_passes_by_each_grader(tools, name):
    code, problem, strict, authors = CODES[name]
    sample = Sample(problem, 0, f"<think>Let me see.</think>So:\n```python\n{code}\n```\n")
    for grader, passes in (("strict", strict), ("authors", authors)):
        [[grade]] = TASK.grade(iter([sample]), grader, benchmark("c"), tools)
        assert (grader, grade.value) == (grader, float(passes)), grade


@pytest.fixture(scope="module")
def tools():
    with Tools(Placement(workers=1)) as tools:
        yield tools


@pytest.mark.slow
@needs_isolation
def test_the_authors_limit_the_time_of_all_tests_together(tools):
    """A test may take longer than 6 seconds where the others take less; here 8 of the 7 x 2 + 5."""
    code = "import time\nn = int(input())\nwhile n and time.process_time() < 8: pass\nprint(n)"
    problem = item("stdin", ("1", "1"), ("0", "0"))
    sample = Sample(problem, 0, f"```python\n{code}\n```")
    for grader, outcome in (("strict", (0.0, "time")), ("authors", (1.0, "passed"))):
        [[grade]] = TASK.grade(iter([sample]), grader, benchmark("c"), tools)
        assert (grade.value, grade.reason) == outcome


@needs_isolation
def test_tests_share_their_time():
    code = "import time\nwhile time.process_time() < 0.7: pass\nprint('fine')"
    cases = item("stdin", *[("", "fine")] * 3)
    from rsft_assets.steps.scores.kinds.livecodebench import authors_output, cases_of

    program = Program(code, cases_of(cases), authors_output, bare=True, seconds_of_all=1.6)
    with SandboxPool(workers=1) as sandbox:
        [outcome] = sandbox.run([program])
    assert (outcome.status, outcome.tests_passed) == ("time", 2)


BLOCKS = [
    ("```python\na\n```\n```python\nb\n```", "b\n", "b"),
    ("<think>```python\na\n```", None, "a"),
    ("```python3\na\n```", "a\n", None),
    ("```python \na\n```", "a\n", None),
    ("```python\n# YOUR CODE HERE\na\n```", "# YOUR CODE HERE\na\n", "a"),
    ("```python\n<code>a</code>b\n```", "<code>a</code>b\n", "a"),
    ("```\na\n```", None, None),
    ("a", None, None),
]


@pytest.mark.parametrize(("text", "strict", "authors"), BLOCKS)
def test_the_code_of_an_answer(text, strict, authors):
    assert (code_in(text, "strict"), code_in(text, "authors")) == (strict, authors)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("[1, 2]\n3", [[1, 2], 3]),
        ('"a b"\n', ["a b"]),
        ("true\n-1.5", ["true", -1.5]),
        ('n = 3, s = "x"', [3, "x"]),
        ("null", ["null"]),
    ],
)
def test_the_authors_arguments(given, read):
    assert authors_arguments(given) == read


def test_the_question_stands_in_the_prompt_as_the_authors_put_it():
    for kind, ends in (("stdin", "writes output to STDOUT."), ("functional", "invoking it at the final solution.")):
        text = prompt(item(kind, ("1", "1"), question="Q?"), benchmark("c"))
        following = "Read the inputs" if kind == "stdin" else "Do not directly"
        assert f"passes all tests.Q?{following}" in text
        assert text.endswith(ends)


@needs_isolation
def test_real_solutions_pass_under_a_name_of_their_own():
    """Published LeetCode solutions whose method is named anew, as by a model that is not shown the starter code."""
    programs = []
    for row in _leetcode_rows():
        program = _function_problem(row)
        code = re.sub(rf"\b{program.entry}\b", "solve_it", program.code)
        programs.append(Program(code, program.tests, program.accept, program.entry))
    with SandboxPool(workers=2) as sandbox:
        outcomes = list(sandbox.run(programs))
    assert len(outcomes) > 100
    assert [outcome for outcome in outcomes if outcome.status != "passed"] == []
