"""The scoring of one model's checkpoints in one process: texts of all benchmarks drawn together, then graded.

In: refs of one model's scores, by checkpoint. Out: their outputs, and words for each that failed. One engine serves
them all; between checkpoints only its weights change.
"""

import json
import logging
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rsft_assets.specs.benchmarks import Benchmark
from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.models import Model
from rsft_assets.specs.placement import Placement
from rsft_assets.specs.study import Study
from rsft_assets.steps.engines import Engine, Request, open_engine, repeatable_engine
from rsft_assets.steps.processes.closing import Closing
from rsft_assets.steps.processes.events import Progress
from rsft_assets.steps.processes.hardware import refuse_without_gpu, this_machine
from rsft_assets.steps.records.locks import exclusive
from rsft_assets.steps.records.store import Output, Store
from rsft_assets.steps.scores.completions import Asked, CompletionSet
from rsft_assets.steps.scores.grading.publishing import Wanted, publish_scores, publish_unscored
from rsft_assets.steps.scores.grading.task import Item
from rsft_assets.steps.scores.grading.tasks import can_be_graded_now, task
from rsft_assets.steps.scores.grading.tools import Tools

log = logging.getLogger(__name__)


def score_checkpoints(
    study: Study, store: Store, checkpoints: Sequence[list[Ref]], placement: Placement, *, force: bool
) -> tuple[list[Output], list[str]]:
    """What was scored, and what failed and why; each entry of `checkpoints` has the refs of one."""
    model = study.get("models", checkpoints[0][0].name)
    with LazyEngine(placement, model) as engine, Tools(placement, store.home) as tools:
        scoring = Scoring(study, store, engine, tools, force)
        for together in checkpoints:
            scoring.checkpoint(together)
    return scoring.done, scoring.failed


class LazyEngine(Closing):
    """An engine that starts when the first text is asked for, and is told of new weights only then."""

    def __init__(self, placement: Placement, model: Model) -> None:
        self.placement, self.model = placement, model
        self._stack = ExitStack()
        self._engine: Engine | None = None
        self._loaded: Path | None = None

    def with_weights(self, folder: Path) -> Engine:
        if self._engine is None:
            self._engine = self._stack.enter_context(open_engine(self.placement, self.model))
            log.info("engine: %s", self._engine.description)
        if self._loaded != folder:
            self._loaded = None
            self._engine.load(folder)
            self._loaded = folder
        return self._engine

    def forget(self) -> None:
        """Weights are loaded anew before the next text: an engine that failed may hold none."""
        self._loaded = None

    def close(self) -> None:
        self._stack.close()


@dataclass
class Scoring:
    """All checkpoints of one model."""

    study: Study
    store: Store
    engine: LazyEngine
    tools: Tools
    force: bool
    done: list[Output] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    shown: set[str] = field(default_factory=set)

    def checkpoint(self, refs: list[Ref]) -> None:
        """Generate all benchmarks of one checkpoint together, then grade each by itself."""
        wanted: list[Wanted] = []
        for ref in refs:
            try:
                entry = self._wanted(ref)
            except StepError as error:
                self.failed.append(f"{ref}: {error}")
                continue
            wanted += [entry] if entry else []
        try:
            self._generate([entry for entry in wanted if entry.completions is None])
        except StepError as error:
            self.failed += [f"{entry.ref}: {error}" for entry in wanted if entry.completions is None]
        for entry in wanted:
            if entry.completions is not None:
                self._guarded(entry)

    def _wanted(self, ref: Ref) -> Wanted | None:
        """What is to be generated and graded; None where the score is finished or cannot be had."""
        identity = self.store.identity(self.study, ref)
        benchmark: Benchmark = self.study.get("benchmarks", ref.benchmark)
        kept = None if self.force else self.store.keep(identity)
        if kept is not None and not can_be_graded_now(kept, benchmark):
            self.done.append(kept)
            return None
        locked = self._input(identity, "benchmarks")
        if locked.stats.get("access", "full") == "none":
            why = str(locked.stats.get("reason") or "the benchmark's items cannot be had here")
            self.done.append(publish_unscored(self.study, self.store, ref, benchmark, "no-access", f"no access: {why}"))
            return None
        items = read_items(locked)
        texts = CompletionSet(
            home=self.store.home,
            benchmark=benchmark.name,
            asked=[Asked(item.item_id, task(benchmark.task).prompt(item, benchmark)) for item in items],
            sampling=benchmark.sampling,
            inputs=list(identity.inputs),
            system_dropped=self.engine.model.drop_default_system_prompt,
            stops=benchmark.stops_of(self.engine.model.family),
        )
        return Wanted(ref, benchmark, items, texts, texts.finished())

    def _input(self, identity: Any, stage: str) -> Output:
        record = next(entry for entry in identity.inputs if entry.asset.startswith(f"{stage}/"))
        return self.store.used(record).verified()

    def _generate(self, wanted: list[Wanted]) -> None:
        if not wanted:
            return
        with ExitStack() as locks:
            # Always in one order, so that two processes that need the same sets cannot wait for each other.
            for entry in sorted(wanted, key=lambda entry: entry.texts.lock):
                what = f"completions of {entry.ref}"
                locks.enter_context(exclusive(entry.texts.lock, what))
                # Another process may have published between the first look and the lock.
                entry.completions = entry.texts.finished()
            left = [entry for entry in wanted if entry.completions is None]
            if left:
                # Grading what was generated elsewhere needs no GPU; only generating does.
                refuse_without_gpu(self.study, left[0].ref, self.engine.placement, this_machine())
                checkpoint = self._input(self.store.identity(self.study, left[0].ref), "checkpoints")
                self._answer(self.engine.with_weights(checkpoint.folder), left)

    def _answer(self, engine: Engine, wanted: list[Wanted]) -> None:
        ref = wanted[0].ref
        progress = Progress(f"answers of {ref.name} {ref.partition}", sum(e.texts.total for e in wanted), "responses")
        repeatable = bool(repeatable_engine(self.engine.placement))
        progress.skip(sum(entry.texts.resume(engine.fingerprint, repeatable=repeatable) for entry in wanted))
        by_tag = {str(i): entry for i, entry in enumerate(wanted)}
        flying: dict[str, Request] = {}

        def requests() -> Iterable[Request]:
            for tag, entry in by_tag.items():
                for request in entry.texts.missing(engine.render, tag):
                    self._show(entry.benchmark, request.prompt)
                    flying[request.id] = request
                    yield request

        tokens, started = 0, time.monotonic()
        try:
            for completion in engine.generate(requests()):
                request = flying.pop(completion.id)
                by_tag[completion.id.partition("\n")[0]].texts.add(request, completion)
                tokens += completion.response_tokens
                progress.step(1, f"{tokens:,} tokens")
            speed = tokens / max(time.monotonic() - started, 1e-9)
            for entry in wanted:
                made_by = {"engine": engine.description, "seed": entry.texts.sampling.seed}
                entry.completions = entry.texts.publish(made_by, speed, self.study.models[ref.name].parameters)
        except StepError:
            self.engine.forget()
            raise
        finally:
            for entry in wanted:
                entry.texts.close()

    def _show(self, benchmark: Benchmark, prompt: str) -> None:
        """The first full prompt of each benchmark, before anything expensive."""
        if benchmark.name not in self.shown:
            self.shown.add(benchmark.name)
            if not benchmark.sensitive:
                log.info("first prompt of %s: %s", benchmark.name, json.dumps(prompt, ensure_ascii=False))

    def _guarded(self, entry: Wanted) -> None:
        try:
            self.done.append(publish_scores(self.study, self.store, entry, self.tools, force=self.force))
        except StepError as error:
            self.failed.append(f"{entry.ref}: {error}")
        except Exception as error:  # a broken grader must not cost the scores of the others
            log.exception("grading %s", entry.ref) if not entry.benchmark.sensitive else None
            self.failed.append(f"{entry.ref}: the grader crashed ({type(error).__name__}); its completions are kept")


def read_items(locked: Output) -> list[Item]:
    """Items of a locked benchmark, in its order."""
    import pyarrow.parquet as pq

    rows = pq.read_table(locked.file("items.parquet")).to_pylist()
    return [Item.of(row) for row in sorted(rows, key=lambda row: row["position"])]
