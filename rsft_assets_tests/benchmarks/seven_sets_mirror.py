r"""Made-up sources in the layouts of the hub, and a teacher who knows their answers, for `seven_sets`.

`Mirror(...).write(folder)` makes the repositories of the math, Countdown, NuminaMath and DeepSeek data and of MATH-500,
500 of whose items stand among the queries. `Mirror.procedures()` answers them: long thinking, one in three wrong at
random (some queries always), now and then without a box or cut off in the middle of a thought.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from rsft_assets.steps.nano.teacher import Procedure, Worked

ITEMS = 500
_WORDS = ("so", "then", "check", "add", "wait", "hmm", "therefore", "multiply", "subtract", "or else", "12", "7+5")
_ROWS_OF_A_FILE = 20_000


@dataclass(frozen=True)
class Problem:
    """A question and its answer, as LaTeX."""

    question: str
    answer: str


class Mirror:
    """Everything is a function of the seed."""

    def __init__(self, queries: int, characters: int, seed: int = 1) -> None:
        chance = random.Random(seed)
        self._characters = characters
        self.problems = _problems(chance, queries + 2_000)
        self.tasks = _tasks(chance, queries + 1_000)
        self._thoughts = " ".join(chance.choices(_WORDS, k=200_000))

    def write(self, mirror: Path) -> None:
        """The repositories, as Parquet files where the hub has them."""
        answered = [(number, problem) for number, problem in enumerate(self.problems)]
        _write(mirror, "open-r1/OpenR1-Math-220k", "default/train", (_openr1(n, p) for n, p in answered))
        others = (Problem(f"How much is {n} doubled?", str(2 * n)) for n in range(20_000))
        _write(mirror, "AI-MO/NuminaMath-1.5", "data/train", (_numina(p) for p in (*others, *self.problems)))
        luffy = (self._luffy(problem, random.Random(n)) for n, problem in answered)
        _write(mirror, "Elliott/Openr1-Math-46k-8192", "data/train", luffy)
        countdown = ({"target": target, "nums": list(numbers)} for numbers, target in self.tasks)
        _write(mirror, "Jiayi-Pan/Countdown-Tasks-3to4-Unique", "data/train", countdown)
        items = ({"problem": p.question, "answer": p.answer, "solution": "", "subject": "Algebra", "level": 1,
                  "unique_id": str(n)} for n, p in answered[:ITEMS])  # fmt: skip
        _write(mirror, "HuggingFaceH4/MATH-500", "test", items)

    def procedures(self) -> dict[str, Callable[..., Procedure]]:
        """Teachers by name, for the registry of procedures."""
        return {"knows-math": lambda: self._math, "knows-countdown": lambda: self._countdown}

    def _math(self, fields: dict[str, Any], chance: random.Random) -> Worked:
        number = int(fields["uuid"])
        return Worked(self._response(self.problems[number].answer, chance, hopeless=number % 9 == 0), "right")

    def _countdown(self, fields: dict[str, Any], chance: random.Random) -> Worked:
        task = (tuple(fields["numbers"]), fields["target"])
        return Worked(self._response(self.tasks[task], chance, hopeless=fields["target"] % 9 == 0), "right")

    def _luffy(self, problem: Problem, chance: random.Random) -> dict[str, Any]:
        response = self._response(problem.answer, chance).removeprefix("<think>\n")
        return {
            "data_source": "openr1",
            "prompt": [{"role": "system", "content": "Think."}, {"role": "user", "content": problem.question}],
            "target": [{"role": "assistant", "content": response}],
            "reward_model": {"ground_truth": problem.answer, "style": "rule"},
        }

    def _response(self, answer: str, chance: random.Random, *, hopeless: bool = False) -> str:
        length = int(self._characters * chance.lognormvariate(-0.3, 0.8))
        start = chance.randrange(max(len(self._thoughts) - length, 1))
        thought = f"<think>\n{self._thoughts[start : start + length]}\n"
        drawn = chance.random()
        if drawn < 0.02:
            return thought
        said = f"{answer} + 1" if hopeless or drawn > 0.7 else answer
        final = said if drawn < 0.05 else f"\\boxed{{{said}}}"
        return f"{thought}</think>\n\nThe steps above give the result. The answer is {final}."


def _problems(chance: random.Random, count: int) -> list[Problem]:
    found: dict[str, Problem] = {}
    while len(found) < count:
        a, b, c, d = (chance.randint(1, 99) for _ in range(4))
        total = Fraction(a, b) + Fraction(c, d)
        answer = f"\\frac{{{total.numerator}}}{{{total.denominator}}}"
        question = f"Compute $\\frac{{{a}}}{{{b}}}+\\frac{{{c}}}{{{d}}}$."
        found[question] = Problem(question, answer if total.denominator > 1 else str(total.numerator))
    return list(found.values())


def _tasks(chance: random.Random, count: int) -> dict[tuple[tuple[int, ...], int], str]:
    """Countdown tasks with one solution each."""
    found: dict[tuple[tuple[int, ...], int], str] = {}
    while len(found) < count:
        numbers = tuple(chance.randint(1, 99) for _ in range(chance.choice((3, 4))))
        words = [str(numbers[0])]
        for number in numbers[1:]:
            words += [chance.choice("+-"), str(number)]
        target = sum(int(sign + number) for sign, number in zip(["+", *words[1::2]], words[::2], strict=True))
        if target > 0:
            found[(numbers, target)] = "".join(words)
    return found


def _openr1(number: int, problem: Problem) -> dict[str, Any]:
    return {
        "problem": problem.question,
        "solution": "Add the fractions.",
        "answer": problem.answer,
        "problem_type": "Algebra",
        "question_type": "math-word-problem",
        "source": "olympiads",
        "uuid": str(number),
    }


def _numina(problem: Problem) -> dict[str, Any]:
    return {
        "problem": problem.question,
        "solution": f"Put both over one denominator and add. We get $\\boxed{{{problem.answer}}}$.",
        "answer": problem.answer,
        "problem_type": "Algebra",
        "question_type": "math-word-problem",
        "source": "olympiads",
        "synthetic": False,
        "problem_is_valid": "Yes",
        "solution_is_valid": "Yes",
    }


def _write(mirror: Path, repo: str, stem: str, rows: Any) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = mirror / repo / f"{stem}-00000-of-00001.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    writer, held = None, []
    for row in (*rows, None):
        if row is not None:
            held.append(row)
        if held and (row is None or len(held) == _ROWS_OF_A_FILE):
            table = pa.Table.from_pylist(held)
            writer = writer or pq.ParquetWriter(path, table.schema)
            writer.write_table(table)
            held = []
    assert writer is not None
    writer.close()
