"""Verify shards of a pool: responses and the gold of their queries in, `verdicts.parquet` of each shard out.

    python -m rsft_assets.steps.verdicts.verify verdicts/nano-math_procedural_n4 --partition 0 --partition 1

Streams through the verifier's worker processes; a killed step goes on after the last verdict on disk.
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.placement import load_placement
from rsft_assets.specs.responses import Pool
from rsft_assets.specs.study import Study
from rsft_assets.steps.processes.events import Progress
from rsft_assets.steps.records.journal import Journal
from rsft_assets.steps.records.rows import RowWriter, read_rows
from rsft_assets.steps.records.stage import run_stage_at_once
from rsft_assets.steps.records.store import Build, Output, Store
from rsft_assets.steps.verdicts.verifier.verifier import VERIFIER_CONFIG, Answer, Verifier

JOURNAL = ".verdicts.jsonl"
_AT_ONCE = 512


def verify(study: Study, store: Store, refs: Sequence[Ref], *, force: bool = False) -> list[Output]:
    """Make the verdicts of shards, or find them made; in the order given. The worker processes serve them all."""
    made = []
    with Verifier(workers=load_placement().workers) as verifier:
        for ref in refs:
            with store.build(study, ref, force=force, verifier=VERIFIER_CONFIG) as build:
                if build.finished is None:
                    build.publish(stats=_verify(build, study.get("pools", ref.name), ref, verifier))
            made.append(build.output)
    return made


def _verify(build: Build, pool: Pool, ref: Ref, verifier: Verifier) -> dict[str, Any]:
    queries = build.input(f"queries/{pool.source}").file("queries.parquet")
    responses = build.input(f"responses/{ref.name}", ref.partition)
    golds = {row["query_id"]: (row["gold"], row["kind"]) for row in read_rows(queries, ["query_id", "gold", "kind"])}
    path = responses.file("responses.parquet")
    progress = Progress(str(ref), responses.stats["rows"], "verdicts")
    with Journal(build.folder / JOURNAL, key="id") as journal:
        progress.skip(len(journal))
        answers = (answer for answer in _answers(path, golds) if answer.id not in journal)
        judgements = verifier.judge(answers)
        while some := list(itertools.islice(judgements, _AT_ONCE)):
            journal.append(asdict(judgement) for judgement in some)
            progress.step(len(some))
        journal.flush()
        return _write(build, path, journal)


def _answers(path: Path, golds: dict[str, tuple[str, str]]) -> Iterator[Answer]:
    for row in read_rows(path, ["response_id", "query_id", "text", "finish_reason"]):
        if row["query_id"] not in golds:
            raise StepError(f"{path}: response {row['response_id']} answers a query that is not in the source")
        gold, kind = golds[row["query_id"]]
        yield Answer(row["response_id"], gold, row["text"], kind=kind, finish_reason=row["finish_reason"])


def _write(build: Build, responses: Path, journal: Journal) -> dict[str, Any]:
    verdicts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    seconds = 0.0
    with RowWriter(build.folder / "verdicts.parquet", "verdicts") as rows:
        for response in read_rows(responses, ["response_id", "query_id"]):
            judged = journal[response["response_id"]]
            rows.add({**judged, **response})
            verdicts[judged["verdict"]] += 1
            reasons[judged["reason"]] += 1
            seconds += judged["seconds"]
    return {
        "rows": rows.rows,
        "verdicts": dict(sorted(verdicts.items())),
        "reasons": dict(sorted(reasons.items())),
        "judging_seconds": round(seconds, 3),
    }


if __name__ == "__main__":
    run_stage_at_once(verify, __doc__)
