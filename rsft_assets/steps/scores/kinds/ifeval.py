"""IFEval: does an answer follow its checkable instructions; the checks are lm-evaluation-harness's own (pinned).

Four metrics: prompt or instruction level, strict or loose. Instruction level is the mean over instructions, so an item
weighs as many as it has. `strict` looks at what follows the thinking, and counts an answer that was cut off in the
middle of its thinking as nothing said; `authors` cuts thinking as in `without_thinking`.

The authors ran lm_eval 0.4.9.1, here it is 0.4.13. The checks of the two differ in `RephraseChecker` alone, which no
item uses. The authors' copy adds the cut and leaves the checks as they are.
"""

import contextlib
import functools
import importlib.util
import logging
import os
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsft_assets.specs.benchmarks import Benchmark
from rsft_assets.steps.scores.grading.task import Grade, Item, Locked, Metric, Sample, Task, each
from rsft_assets.steps.scores.grading.text import THINK_CLOSE, answer_part, without_thinking

log = logging.getLogger(__name__)
_LANGUAGE_SEED = 0
_NLTK_DATA = "tokenizers/punkt_tab"
METRICS = (Metric("inst_strict", headline=True), *map(Metric, ("inst_loose", "prompt_strict", "prompt_loose")))


def read(row: Mapping[str, Any]) -> Locked:
    """fields: key, instruction_id_list, kwargs (without the nulls that Parquet fills in)."""
    kwargs = [{name: value for name, value in one.items() if value is not None} for one in row["kwargs"]]
    fields = {"key": row["key"], "instruction_id_list": list(row["instruction_id_list"]), "kwargs": kwargs}
    return Locked(row["prompt"], None, row["instruction_id_list"][0].partition(":")[0], fields)


def prompt(item: Item, benchmark: Benchmark) -> str:
    """The authors wrap the published prompt."""
    return f"Question: {item.question}\nAnswer:"


def unavailable() -> str:
    """Why the checks cannot run here; nothing is downloaded to find out."""
    if importlib.util.find_spec("lm_eval") is None or importlib.util.find_spec("nltk") is None:
        return 'no checks: IFEval\'s are not installed; pip install "rsft_assets[ifeval]"'
    if not _find_nltk_data():
        return (
            "no checks: NLTK's punkt_tab is not here; pip install llama-index-core (it brings it), "
            "or python -m nltk.downloader punkt_tab on a machine with network, and set NLTK_DATA"
        )
    return ""


def _find_nltk_data() -> bool:
    import nltk

    spec = importlib.util.find_spec("llama_index")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        cache = str(Path(place) / "core" / "_static" / "nltk_cache")
        if cache not in nltk.data.path:
            nltk.data.path.append(cache)
    try:
        nltk.data.find(_NLTK_DATA)
    except LookupError:
        return False
    return True


@functools.cache
def _checks() -> Any:
    # Set before the import: the harness looks for its data, and langdetect for its seed, right then.
    if not _find_nltk_data():
        raise RuntimeError("NLTK's punkt_tab is not here")
    os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
    import langdetect
    from lm_eval.tasks.ifeval import utils

    langdetect.DetectorFactory.seed = _LANGUAGE_SEED
    return utils


@contextlib.contextmanager
def draws_of(item: Item) -> Iterator[None]:
    """What the harness draws by chance in here is the same each time.

    Where an item counts a sign that is no letter (`#` and `!`, in two of the 541), the harness counts a letter that it
    draws instead. That is kept, being its verdict, but the same text must not be graded now so and now otherwise.
    """
    before = random.getstate()
    random.seed(item.question)
    try:
        yield
    finally:
        random.setstate(before)


@dataclass(frozen=True)
class Followed:
    """Which instructions an answer follows."""

    strict: list[bool]
    loose: list[bool]


def followed(item: Item, answer: str) -> Followed:
    """The harness's verdict on each instruction of an item."""
    checks = _checks()
    given = checks.InputExample(
        key=item.fields.get("key", 0),
        instruction_id_list=item.fields["instruction_id_list"],
        prompt=item.question,
        kwargs=item.fields["kwargs"],
    )
    with draws_of(item):
        strict = checks.test_instruction_following_strict(given, answer).follow_instruction_list
    # The same draws again: loose judges the same instruction, and is never stricter.
    with draws_of(item):
        loose = checks.test_instruction_following_loose(given, answer).follow_instruction_list
    return Followed(list(map(bool, strict)), list(map(bool, loose)))


def grade_one(sample: Sample, grader: str) -> list[Grade]:
    if grader == "authors":
        answer, reason = without_thinking(sample.text), ""
    else:
        part = answer_part(sample.text)
        reason = "" if part is not None else "think-not-closed"
        # Without the white space that separates it from the thinking: the checks count lines and paragraphs.
        answer = (part or "").strip() if THINK_CLOSE in sample.text else part or ""
    checks = followed(sample.item, answer)
    return [
        grade
        for level, flags in (("strict", checks.strict), ("loose", checks.loose))
        for grade in _both(level, flags, reason)
    ]


def _both(level: str, flags: list[bool], reason: str) -> list[Grade]:
    extracted = " ".join("yes" if flag else "no" for flag in flags)
    share = sum(flags) / len(flags)
    why = reason or ("followed" if all(flags) else "not-followed")
    return [
        Grade(f"inst_{level}", share, why, extracted, weight=float(len(flags))),
        Grade(f"prompt_{level}", float(all(flags)), why, extracted),
    ]


TASK = Task(prompt, each(grade_one), METRICS, lambda published: published.items(read), unavailable)
