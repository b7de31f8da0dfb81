"""The manifest: the record beside every output, written last. No manifest, no output.

Manifests are the truth about lineage; Dagster's event log and DuckDB are views of them. Whoever reads one reads it
here, where it is checked: against itself, its place (`proof.py`) and the hash that the slot's pointer carries.
"""

import dataclasses
import datetime
import errno
import hashlib
import json
import os
import stat
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.records.columns import SCHEMA_VERSION
from rsft_assets.steps.records.digest import combined_digest, file_digest
from rsft_assets.steps.records.proof import FOLDER_NAME, contradictions, missing_files, wrong_fields
from rsft_assets.steps.records.provenance import provenance

FILE_NAME = "manifest.json"
POINTER = "current.json"
AGAIN = "; materialize it again"
"""How words on a damaged output in use end."""


class NewerManifest(StepError):
    """Written by a later version: not damaged, but not readable here."""


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


@dataclass(frozen=True)
class Pointer:
    """`current.json` of a slot: which of its outputs is in use."""

    output: str
    """Name of the folder in use."""
    manifests: dict[str, str] = field(default_factory=dict)
    """Folder -> sha256 of its manifest; outputs of homes from before these were kept have none."""


def read_pointer(path: Path) -> Pointer:
    """The pointer at `path`; a `StepError` says what is wrong with it."""
    data = read_json(path, "pointer")
    problem = next(wrong_fields({"manifests": {}, **data} if isinstance(data, dict) else data, Pointer), None)
    if problem is None and not FOLDER_NAME.fullmatch(data["output"]):
        problem = f"output is {data['output']!r}, not the name of an output's folder"
    if problem:
        raise _damaged(path, "pointer", problem)
    return Pointer(**data)


def pointer_beside(folder: Path) -> Pointer:
    """The pointer of an output's slot, an empty one where there is none that can be read."""
    try:
        return read_pointer(folder.parent / POINTER)
    except (FileNotFoundError, StepError):
        return Pointer("")


def manifest_hash(folder: Path) -> str:
    """What a pointer says of the manifest in `folder`."""
    return hashlib.sha256((folder / FILE_NAME).read_bytes()).hexdigest()


def read_manifest(folder: Path, pointer: Pointer | None = None) -> Manifest:
    """The manifest of an output folder, checked; a `StepError` names what is wrong with it.

    `pointer` is that of its slot, where it was read already.
    """
    path = folder / FILE_NAME
    try:
        content = _content(path, "manifest")
    except FileNotFoundError:
        raise StepError(f"{folder}: no {FILE_NAME}, so this is not a finished output{AGAIN}") from None
    data = _parsed(path, content, "manifest")
    schema = data.get("schema") if isinstance(data, dict) else None
    if isinstance(schema, int) and schema > SCHEMA_VERSION:
        raise NewerManifest(
            f"{path}: written by a newer version (schema {schema}, this one reads {SCHEMA_VERSION}); "
            "upgrade rsft_assets"
        )
    problem = next(_problems(data, folder), None)
    known = (pointer or pointer_beside(folder)).manifests.get(folder.name)
    if problem is None and known not in (None, hashlib.sha256(content).hexdigest()):
        problem = f"it has changed since {POINTER} was written"
    if problem:
        raise _damaged(path, "manifest", problem)
    data["files"] = [FileRecord(**entry) for entry in data["files"]]
    data["inputs"] = [InputRecord(**entry) for entry in data["inputs"]]
    return Manifest(**data)


def _problems(data: Any, folder: Path) -> Iterator[str]:
    wrong = list(wrong_fields(data, Manifest))
    if not wrong:
        for name, record in (("files", FileRecord), ("inputs", InputRecord)):
            for number, entry in enumerate(data[name]):
                wrong += wrong_fields(entry, record, f"{name}[{number}].")
    yield from wrong or contradictions(data, folder)


def read_json(path: Path, what: str) -> Any:
    """The value of a JSON file; a `StepError` names the file where it has none, `FileNotFoundError` passes."""
    return _parsed(path, _content(path, what), what)


def _content(path: Path, what: str) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            # Opening a pipe would wait for a writer.
            raise StepError(f"{path} is not a file; remove it, and materialize again")
        return path.read_bytes()
    except NotADirectoryError:
        raise FileNotFoundError(path) from None
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.ELOOP):
            raise
        raise _damaged(path, what, error) from error


def _parsed(path: Path, content: bytes, what: str) -> Any:
    try:
        return _DECODER.decode(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _damaged(path, what, error) from error


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number")


_DECODER = json.JSONDecoder(parse_constant=_refused)


def _damaged(path: Path, what: str, why: object) -> StepError:
    return StepError(f"{path}: damaged {what} ({why}){AGAIN}")


def describe(
    folder: Path,
    ref: Ref,
    *,
    started: float,
    made_by: dict[str, Any],
    known: Iterable[FileRecord] = (),
    **declared: Any,
) -> Manifest:
    """Digest every file of a complete folder but the hidden and the `known` ones, and write its manifest; `declared`
    are the fields that the files do not tell.
    """
    digested = {folder / record.path: record for record in known}
    files = [digested.get(path) or _file_record(path, folder) for path in _published(folder)]
    if missing := missing_files(ref.stage, (record.path for record in files)):
        raise StepError(f"{ref} is not published: {folder} has no {' and no '.join(missing)}")
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


def _published(folder: Path) -> list[Path]:
    """Every file of a folder but the hidden ones; links are refused: what they name can vanish or change."""
    paths = []
    for path in sorted(folder.rglob("*")):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if path.is_symlink():
            raise StepError(f"{path} is a link to {path.readlink()}; an output must hold the file itself: put it there")
        if path.is_file():
            paths.append(path)
    return paths


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
