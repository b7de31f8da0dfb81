"""Generate responses: the queries of a pool's shards and a teacher in, `responses.parquet` of each shard out.

    python -m rsft_assets.steps.responses.generate responses/nano-math_procedural_n4 --partition 0 --partition 1

A teacher is a model behind an engine, a seeded procedure (nano), or a published set that is taken over.
Several shards are one stream to the teacher, so the long tail of one does not leave the engine idle; each
is published as it completes. Responses are on disk as they finish: a killed step starts again with what it
had, and ends with exactly n samples a query.
"""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.responses import Pool
from rsft_assets.specs.study import Study
from rsft_assets.steps.processes.events import Progress
from rsft_assets.steps.records.stage import run_stage_at_once
from rsft_assets.steps.records.store import Output, Store
from rsft_assets.steps.responses.adopted import adopt_responses
from rsft_assets.steps.responses.shard import ResponseShard, shard_size
from rsft_assets.steps.responses.teaching import Asked, Teaching, open_teaching, repeatable_teacher


def generate(study: Study, store: Store, refs: Sequence[Ref], *, force: bool = False) -> list[Output]:
    """Make shards of pools, or find them made; in the order given."""
    made: dict[Ref, Output] = {}
    for name, some in itertools.groupby(refs, key=lambda ref: ref.name):
        pool: Pool = study.get("pools", name)
        if pool.adopted:
            made |= _adopt(study, store, list(some), pool, force)
        else:
            made |= _Generation(study, store, pool, list(some), force).run()
    return [made[ref] for ref in refs]


def _adopt(study: Study, store: Store, refs: list[Ref], pool: Pool, force: bool) -> dict[Ref, Output]:
    with ExitStack() as open_builds:
        builds = {ref: open_builds.enter_context(store.build(study, ref, force=force)) for ref in refs}
        if missing := [build for build in builds.values() if build.finished is None]:
            adopt_responses(missing, pool)
    return {ref: build.output for ref, build in builds.items()}


class _Generation:
    """Shards of one pool as one stream of samples; a shard is opened when the stream reaches it."""

    def __init__(self, study: Study, store: Store, pool: Pool, refs: list[Ref], force: bool) -> None:
        self._study, self._store, self._pool, self._refs, self._force = study, store, pool, refs, force
        self._made: dict[Ref, Output] = {}
        self._asked: dict[str, ResponseShard] = {}
        self._open: dict[Ref, ResponseShard] = {}
        queries = store.require(Ref(f"queries/{pool.source}")).stats["rows"]
        self._sizes = {ref: shard_size(pool, ref, queries) * pool.sampling.n for ref in refs}
        self._progress = Progress(f"responses/{pool.name}", sum(self._sizes.values()), "responses")
        self._teacher: dict[str, Any] = {"name": pool.teacher.name}
        self._engine = repeatable_teacher(pool)

    def run(self) -> dict[Ref, Output]:
        with ExitStack() as builds:
            missing = self._missing(builds)
            # A teacher is opened only if something is left to ask.
            if (first := next(missing, None)) is not None:
                with open_teaching(self._pool, first) as teaching:
                    self._teacher |= teaching.description
                    for row in teaching.answers(itertools.chain([first], missing)):
                        self._take(row, teaching)
            for shard in list(self._open.values()):
                lost = shard.missing()
                raise StepError(
                    f"{shard.ref}: {len(lost)} of {len(shard.wanted)} responses did not come back, the first is "
                    f"{lost[0]}; run it again to ask for them once more"
                )
        return self._made

    def _missing(self, builds: ExitStack) -> Iterator[Asked]:
        """Samples that no earlier try has on disk, shard after shard."""
        for ref in self._refs:
            build = builds.enter_context(
                self._store.build(
                    self._study, ref, force=self._force, teacher=self._teacher, seed=self._pool.sampling.seed
                )
            )
            if build.finished is not None:
                self._made[ref] = build.finished
                self._progress.skip(self._sizes[ref])
                continue
            shard = builds.enter_context(ResponseShard(build, self._pool, engine=self._engine))
            self._open[ref] = shard
            self._progress.skip(shard.done)
            for asked in shard.to_ask():
                self._asked[asked.response_id] = shard
                yield asked
            if not shard.left:
                self._publish(shard)

    def _take(self, row: dict[str, Any], teaching: Teaching) -> None:
        shard = self._asked.pop(row["response_id"], None)
        if shard is None:
            raise StepError(f"the teacher answered {row['response_id']}, which was not asked or was answered before")
        shard.add(row)
        self._progress.step(1, teaching.note())
        if not shard.left:
            self._publish(shard, teaching.tokens_per_second)

    def _publish(self, shard: ResponseShard, tokens_per_second: float = 0.0) -> None:
        if shard.ref in self._open:
            del self._open[shard.ref]
            self._made[shard.ref] = shard.publish(tokens_per_second)


if __name__ == "__main__":
    run_stage_at_once(generate, __doc__)
