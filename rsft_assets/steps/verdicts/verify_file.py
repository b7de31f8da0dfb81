"""Judge a file of responses: a copy of the file comes out, with a verdict beside every row.

Comes in: JSONL (also .gz) or Parquet with the columns `gold` and `response`, optional `id`, `query_id`,
`finish_reason`. Goes out: the same rows in the same order with `verdict`, `extracted`, `reason`, `seconds`, published
by rename. Rows that cannot be read keep their place, with the reason `row-unreadable`. Run:

    rsft verify IN OUT [--kind math|countdown] [--scope tail|whole] [--workers N]
"""

import json
import logging
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from rsft_assets.specs.errors import StepError
from rsft_assets.steps.verdicts.row_files import ADDED, NEEDED, Row, as_text, is_parquet, open_writer, read_rows
from rsft_assets.steps.verdicts.verifier.limits import Limits
from rsft_assets.steps.verdicts.verifier.verifier import Answer, Judgement, Verifier

log = logging.getLogger(__name__)

Progress = Callable[[int], None]

_READ = (*NEEDED, "finish_reason")
_ERRORS_LOGGED = 20


def verify_file(
    source: Path,
    target: Path,
    *,
    kind: str = "math",
    scope: str = "tail",
    workers: int | None = None,
    limits: Limits = Limits(),  # noqa: B008
    progress: Progress | None = None,
) -> dict[str, int]:
    """Judge every row of `source` into `target`; the number of rows by `verdict` and by `verdict/reason`.

    `progress` is called with the number of rows judged so far. `workers` defaults to the number of cores.
    """
    _check(source, target)
    before = source.stat()
    aside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        # Verdicts are buffered on disk: a row may wait for earlier ones, and its text must not stay in memory.
        with tempfile.TemporaryFile("w+", dir=target.parent) as verdicts:
            with Verifier(workers=workers or os.cpu_count() or 1, limits=limits) as verifier:
                counts = _judge_rows(source, verifier, kind, scope, verdicts, progress)
            after = source.stat()
            if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                raise StepError(f"{source} changed while it was judged; nothing was published, run again")
            verdicts.seek(0)
            _write_rows(source, target, aside, verdicts)
        aside.replace(target)
    except OSError as error:
        raise StepError(f"{error.filename or target}: {error.strerror or error}; nothing was published") from error
    finally:
        aside.unlink(missing_ok=True)
    return counts


def _check(source: Path, target: Path) -> None:
    for path in (source, target):
        is_parquet(path)
    if not source.is_file():
        raise StepError(f"{source} is a folder; give one file" if source.is_dir() else f"{source}: no such file")
    if target.is_dir():
        raise StepError(f"{target} is a folder; give the result a file of its own")
    if target.exists() and target.samefile(source):
        raise StepError(f"{target} is the file to be judged; give another place for the result")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StepError(f"{target.parent}: {error.strerror}; give a place that can be written") from error


def _judge_rows(
    source: Path, verifier: Verifier, kind: str, scope: str, verdicts: IO[str], progress: Progress | None
) -> dict[str, int]:
    counts: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    for judged, judgement in enumerate(verifier.judge(_answers(source, kind, scope, seen)), 1):
        reason = "row-unreadable" if judgement.id else judgement.reason
        counts.update((judgement.verdict, f"{judgement.verdict}/{reason}"))
        verdicts.write(json.dumps(_columns(judgement, reason)) + "\n")
        if progress and (judged % 1_000 == 0):
            progress(judged)
    if missing := [name for name in NEEDED if seen["rows"] and not seen[name]]:
        raise StepError(
            f"{source}: no row has a column {' or '.join(missing)}; rename the columns to gold and response"
        )
    if progress:
        progress(seen["rows"])
    return dict(counts)


def _answers(source: Path, kind: str, scope: str, seen: Counter[str]) -> Iterator[Answer]:
    for row in read_rows(source, _READ):
        seen["rows"] += 1
        seen.update(name for name in NEEDED if name in row.fields)
        if row.error:
            seen["errors"] += 1
            if seen["errors"] <= _ERRORS_LOGGED:
                log.warning("%s; the row is kept as unparseable", row.error)
        yield Answer(
            id="row-unreadable" if row.error else "",
            gold=as_text(row.fields.get("gold")),  # type: ignore[arg-type]
            response=as_text(row.fields.get("response")),  # type: ignore[arg-type]
            kind=kind,
            scope=scope,
            finish_reason=as_text(row.fields.get("finish_reason")),
        )


def _columns(judgement: Judgement, reason: str) -> dict[str, Any]:
    values = (judgement.verdict, judgement.extracted, reason, round(judgement.seconds, 6))
    return dict(zip(ADDED.names, values, strict=True))


def _write_rows(source: Path, target: Path, aside: Path, verdicts: IO[str]) -> None:
    writer = open_writer(aside, target, source)
    try:
        rows: Iterator[Row] = read_rows(source)
        for row, line in zip(rows, verdicts, strict=True):
            writer.write(row, json.loads(line))
    finally:
        writer.close()
