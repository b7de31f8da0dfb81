"""How much of each reasoning benchmark of the nano study its base models have read: a Markdown table.

    python -m rsft_assets.steps.base_models.exposure nano-300k

For each benchmark: texts of its kind in each form, per 10,000 texts; the share of its single steps, such as `3*4=12`,
that occur in any text; and the share of its items whose whole solution occurs, every step in its order.
"""

import argparse
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, get_args

from rsft_assets.specs.benchmarks import Benchmark
from rsft_assets.specs.errors import SpecError
from rsft_assets.specs.hub import Generator
from rsft_assets.specs.models import Pretraining
from rsft_assets.specs.study import Study, load_study
from rsft_assets.steps.base_models.mixture import FORMS, Form, labelled_documents
from rsft_assets.steps.nano.arithmetic import steps
from rsft_assets.steps.nano.skills import items

_EQUATION = re.compile(r"\d+[-+*]\d+=\d+")
_TOKENS_PER_TEXT = 45
"""On average."""
_PER = 10_000


def table(study: Study, model: str) -> list[str]:
    """The table's lines for one base model."""
    origin = study.get("models", model).origin
    if not isinstance(origin, Pretraining):
        raise SpecError(f"{model} was not pretrained here")
    count = origin.steps * origin.batch_tokens // _TOKENS_PER_TEXT
    met: Counter[tuple[str, Form | None]] = Counter()
    equations: set[str] = set()
    solutions: set[str] = set()
    for document in itertools.islice(labelled_documents(origin.mixture, origin.seed), count):
        met[document.kind, document.form] += 1
        # The other texts with a boxed answer are facts.
        met["facts", "answer"] += not document.kind and "\\boxed" in document.text
        equations_here = _EQUATION.findall(document.text)
        equations.update(equations_here)
        solutions.add("\n".join(equations_here))
    forms = get_args(Form)
    lines = [f"| benchmark | {' | '.join(forms)} | single steps | whole solutions |", f"|---{'|---' * 6}|"]
    for benchmark in study.benchmarks.values():
        if isinstance(benchmark.origin, Generator) and benchmark.task in ("math", "nano-countdown"):
            seen = [sum(met[kind, form] for kind in _kinds(benchmark.origin.name)) for form in forms]
            per = [f"{_PER * number / count:.0f}" for number in seen]
            lines.append(f"| {' | '.join([benchmark.title, *per, *_pieces(benchmark, equations, solutions)])} |")
    return lines


def _kinds(generator: str) -> Sequence[str]:
    """The kinds of questions that a benchmark's generator draws from."""
    drawn = {item.category for item in itertools.islice(items(generator, 1), 200)}
    return [kind for kind in FORMS if kind in drawn] or [generator]


def _pieces(benchmark: Benchmark, equations: set[str], solutions: set[str]) -> Iterable[str]:
    """The shares of a benchmark's steps and of its solutions that occur; dashes where nothing is worked out."""
    assert isinstance(benchmark.origin, Generator)
    options: dict[str, Any] = dict(benchmark.origin.options)
    drawn = itertools.islice(items(benchmark.origin.name, benchmark.origin.seed, **options), benchmark.origin.count)
    worked = [[step.equation for step in steps(item.fields["plan"])] for item in drawn if "plan" in item.fields]
    if not worked:
        return "–", "–"
    single = [step in equations for solution in worked for step in solution]
    whole = ["\n".join(solution) in solutions for solution in worked]
    return f"{sum(single) / len(single):.0%}", f"{sum(whole) / len(whole):.0%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    print("\n".join(table(load_study(), parser.parse_args().model)))


if __name__ == "__main__":
    main()
