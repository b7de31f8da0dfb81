"""The manifest: the record beside every output, written last. No manifest, no output.

Manifests are the truth about lineage; Dagster's event log and DuckDB are views of them.
"""

import dataclasses
import datetime
import json
import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.records.columns import SCHEMA_VERSION
from rsft_assets.steps.records.digest import combined_digest, file_digest
from rsft_assets.steps.records.provenance import provenance

FILE_NAME = "manifest.json"


@dataclass(frozen=True)
class FileRecord:
    """One file of an output."""

    path: str
    bytes: int
    digest: str
    rows: int | None = None


@dataclass(frozen=True)
class InputRecord:
    """One input: what it was and the digest it had."""

    asset: str
    partition: str
    digest: str
    output: str
    """Its folder, relative to RSFT_HOME."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything that is known about one output."""

    asset: str
    partition: str
    fingerprint: str
    """Hash of spec and input digests: the identity."""
    spec: dict[str, Any]
    inputs: list[InputRecord]
    digest: str
    """Hash of the content: Dagster's data version."""
    files: list[FileRecord]
    stats: dict[str, Any] = field(default_factory=dict)
    """Counts and other facts that the step measured."""
    origin: str = "computed"
    """computed, or adopted (taken over from something published)."""
    adopted_from: dict[str, Any] | None = None
    made_by: dict[str, Any] = field(default_factory=dict)
    """Commit, command, versions, host; and code, engine, seed, placement where the step gives them."""
    started_at: str = ""
    finished_at: str = ""
    seconds: float = 0.0
    schema: int = SCHEMA_VERSION

    @property
    def ref(self) -> Ref:
        return Ref(self.asset, self.partition)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an output folder; a `StepError` names what is wrong with it."""
    path = folder / FILE_NAME
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["schema"] > SCHEMA_VERSION:
            raise StepError(
                f"{path}: written by a newer version (schema {data['schema']}, this one reads {SCHEMA_VERSION}); "
                "upgrade rsft_assets"
            )
        data["files"] = [FileRecord(**entry) for entry in data["files"]]
        data["inputs"] = [InputRecord(**entry) for entry in data["inputs"]]
        return Manifest(**data)
    except FileNotFoundError:
        raise StepError(f"{folder}: no {FILE_NAME}, so this is not a finished output; materialize it again") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StepError(f"{path}: damaged manifest ({error}); materialize it again") from error


def describe(folder: Path, ref: Ref, *, started: float, made_by: dict[str, Any], **declared: Any) -> Manifest:
    """Digest every file of a complete folder but the hidden ones, and write its manifest; `declared` are the fields
    that the files do not tell.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    files = [_file_record(path, folder) for path in paths]
    finished = time.time()
    manifest = Manifest(
        asset=ref.asset,
        partition=ref.partition,
        digest=combined_digest({record.path: record.digest for record in files}),
        files=files,
        made_by={**provenance(), **made_by},
        started_at=_iso(started),
        finished_at=_iso(finished),
        seconds=round(finished - started, 3),
        **declared,
    )
    write_manifest(folder, manifest)
    return manifest


def _file_record(path: Path, folder: Path) -> FileRecord:
    digest, rows = file_digest(path)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return FileRecord(path=path.relative_to(folder).as_posix(), bytes=path.stat().st_size, digest=digest, rows=rows)


def _iso(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="milliseconds")


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write it last and atomically: a reader sees all of it or none."""
    write_json(folder / FILE_NAME, dataclasses.asdict(manifest))


def write_json(path: Path, value: Any) -> None:
    """Publish a JSON file by rename, flushed to disk before."""
    # Of this thread alone: several of a process may write at the same time.
    aside = path.with_name(f".{path.name}.{threading.get_native_id()}")
    with aside.open("w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False, indent=1, allow_nan=False)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
