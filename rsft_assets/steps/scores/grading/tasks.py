"""Every task by name: the value of `Benchmark.task`, and the module and constant that hold it."""

import importlib
from typing import TYPE_CHECKING

from rsft_assets.specs.benchmarks import Benchmark
from rsft_assets.specs.errors import SpecError, nearest

if TYPE_CHECKING:
    from rsft_assets.steps.records.store import Output
    from rsft_assets.steps.scores.grading.task import Task

TASKS = {
    "math": ("rsft_assets.steps.scores.grading.math", "TASK"),
    "gpqa": ("rsft_assets.steps.scores.grading.choice", "GPQA"),
    "mmlu_pro": ("rsft_assets.steps.scores.grading.choice", "MMLU_PRO"),
    "code": ("rsft_assets.steps.scores.grading.livecodebench", "TASK"),
    "halueval": ("rsft_assets.steps.scores.grading.halueval", "TASK"),
    "ifeval": ("rsft_assets.steps.scores.grading.ifeval", "TASK"),
    "truthfulqa": ("rsft_assets.steps.scores.grading.truthfulqa", "TASK"),
    "alpacaeval": ("rsft_assets.steps.scores.grading.alpacaeval", "TASK"),
    "hex_phi": ("rsft_assets.steps.scores.grading.hex_phi", "TASK"),
    "nano-format": ("rsft_assets.steps.scores.grading.nano", "FORMAT"),
    "nano-countdown": ("rsft_assets.steps.scores.grading.nano", "COUNTDOWN"),
    "nano-refusal": ("rsft_assets.steps.scores.grading.nano", "REFUSAL"),
}


def can_be_graded_now(score: "Output", benchmark: Benchmark) -> bool:
    """Whether what could not be graded when a score was made (no judge, no isolation) can be graded now."""
    return score.stats.get("state") == "not-run" and not task(benchmark.task).unavailable()


def task(name: str) -> "Task":
    """One task; its module, and what that needs, is imported only now."""
    if name not in TASKS:
        raise SpecError(f"unknown task {name!r} of a benchmark: {nearest(name, TASKS)}")
    module, constant = TASKS[name]
    found: Task = getattr(importlib.import_module(module), constant)
    return found
