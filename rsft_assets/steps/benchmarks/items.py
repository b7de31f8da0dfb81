"""Items of a benchmark: from the published files, as the file of its task reads them, or from a nano generator."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rsft_assets.specs.benchmarks import Benchmark
from rsft_assets.specs.errors import StepError
from rsft_assets.specs.hub import Generator, Hub
from rsft_assets.steps.nano.skills import items
from rsft_assets.steps.records.hub import dataset_rows, repository_file
from rsft_assets.steps.scores.grading.task import Locked
from rsft_assets.steps.scores.grading.tasks import TASKS, task_of


def read_items(benchmark: Benchmark) -> Iterator[Locked]:
    """All items of a benchmark, in its own order."""
    task, origin = task_of(benchmark), benchmark.origin
    if isinstance(origin, Generator):
        options: dict[str, Any] = dict(origin.options)
        for item in itertools.islice(items(origin.name, origin.seed, **options), origin.count):
            yield Locked(item.question, item.gold, item.category, item.fields)
    elif task.items is None:
        raise StepError(
            f"benchmarks {benchmark.name!r}: task {benchmark.task!r} has no `items`, which read {origin.repo}; "
            f"add them in {TASKS[benchmark.task]}, or use a generator"
        )
    else:
        yield from task.items(HubFiles(benchmark, origin))


@dataclass(frozen=True)
class HubFiles:
    """A `Published` in a repository of the hub, a mirror or a folder."""

    benchmark: Benchmark
    hub: Hub

    def rows(self, *files: str, config: str | None = None) -> Iterator[dict[str, Any]]:
        return dataset_rows(replace(self.hub, config=config) if config else self.hub, files)

    def items(self, read: Callable[[Mapping[str, Any]], Locked], *files: str) -> Iterator[Locked]:
        for number, row in enumerate(self.rows(*files)):
            try:
                yield read(row)
            except (KeyError, TypeError, ValueError, IndexError) as error:
                raise StepError(
                    f"{self.hub.repo}, row {number}: {type(error).__name__} {error}; "
                    f"columns are {', '.join(sorted(row))}"
                ) from error

    def file(self, name: str) -> Path:
        return repository_file(self.hub, name)
