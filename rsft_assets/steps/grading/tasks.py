"""Every task by name: the value of `Benchmark.task`, and the module and constant that hold it."""

import importlib

from rsft_assets.specs.errors import SpecError, nearest
from rsft_assets.steps.grading.task import Task

TASKS = {
    "math": ("math", "TASK"),
    "gpqa": ("choice", "GPQA"),
    "mmlu_pro": ("choice", "MMLU_PRO"),
    "code": ("code.livecodebench", "TASK"),
    "halueval": ("halueval", "TASK"),
    "ifeval": ("ifeval", "TASK"),
    "truthfulqa": ("truthfulqa", "TASK"),
    "alpacaeval": ("alpacaeval", "TASK"),
    "hex_phi": ("hex_phi", "TASK"),
    "nano-format": ("nano", "FORMAT"),
    "nano-countdown": ("nano", "COUNTDOWN"),
    "nano-refusal": ("nano", "REFUSAL"),
}


def task(name: str) -> Task:
    """One task; its module, and what that needs, is imported only now."""
    if name not in TASKS:
        raise SpecError(f"unknown task {name!r} of a benchmark: {nearest(name, TASKS)}")
    module, constant = TASKS[name]
    found: Task = getattr(importlib.import_module(f"rsft_assets.steps.grading.{module}"), constant)
    return found
