"""Every task by name: the value of `Benchmark.task`, and the module whose `TASK` it is."""

import importlib
from typing import TYPE_CHECKING

from rsft_assets.specs.benchmarks import Benchmark
from rsft_assets.specs.errors import SpecError, StepError, nearest

if TYPE_CHECKING:
    from rsft_assets.steps.records.store import Output
    from rsft_assets.steps.scores.grading.task import Task

TASKS = {
    "math": "rsft_assets.steps.scores.kinds.math",
    "gpqa": "rsft_assets.steps.scores.kinds.gpqa",
    "mmlu_pro": "rsft_assets.steps.scores.kinds.mmlu_pro",
    "code": "rsft_assets.steps.scores.kinds.livecodebench",
    "halueval": "rsft_assets.steps.scores.kinds.halueval",
    "ifeval": "rsft_assets.steps.scores.kinds.ifeval",
    "truthfulqa": "rsft_assets.steps.scores.kinds.truthfulqa",
    "alpacaeval": "rsft_assets.steps.scores.kinds.alpacaeval",
    "hex_phi": "rsft_assets.steps.scores.kinds.hex_phi",
    "nano-format": "rsft_assets.steps.scores.kinds.nano_format",
    "nano-countdown": "rsft_assets.steps.scores.kinds.nano_countdown",
    "nano-refusal": "rsft_assets.steps.scores.kinds.nano_refusal",
}


def can_be_graded_now(score: "Output", benchmark: Benchmark) -> bool:
    """Whether what could not be graded when a score was made (no judge, no isolation) can be graded now."""
    return score.stats.get("state") == "not-run" and not task(benchmark.task).unavailable()


def task(name: str) -> "Task":
    """One task; its module, and what that needs, is imported only now."""
    if name not in TASKS:
        raise SpecError(f"unknown task {name!r} of a benchmark: {nearest(name, TASKS)}")
    known: Task = importlib.import_module(TASKS[name]).TASK
    return known


def task_of(benchmark: Benchmark) -> "Task":
    """The task of a benchmark, which must know the metrics that the benchmark names."""
    wanted = task(benchmark.task)
    known = [metric.name for metric in wanted.metrics]
    for metric in benchmark.metrics:
        if metric not in known:
            raise StepError(
                f"benchmarks {benchmark.name!r}: field metrics: {metric!r} is no metric of task {benchmark.task!r}: "
                f"{nearest(metric, known)}"
            )
    if benchmark.metrics[:1] != (wanted.headline.name,):
        raise StepError(
            f"benchmarks {benchmark.name!r}: field metrics: name {wanted.headline.name!r} first, the headline of task "
            f"{benchmark.task!r}"
        )
    return wanted
