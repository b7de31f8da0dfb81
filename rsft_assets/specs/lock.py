"""The lock file: the commit of each repository that a study reads, as it was first resolved.

`rsft.lock` stands beside the study file, or in the working directory; `RSFT_LOCK` names another place. It is
read over `paper.lock`, which is part of this package. A revision in a spec comes first, then `[pins]` of the
study file, then the lock. `rsft lock` writes it. What a mirror holds without a known revision has one made of its
content, `content-…`, and keeps it when the same files come from the hub later.
"""

import functools
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rsft_assets.specs.errors import SpecError
from rsft_assets.specs.hub import Hub
from rsft_assets.specs.study_file import STUDY_FILE_SETTING
from rsft_assets.specs.toml_file import entry, read_toml, shown

LOCK_SETTING = "RSFT_LOCK"
FROZEN_SETTING = "RSFT_FROZEN"
PAPER_LOCK = Path(__file__).with_name("paper.lock")
_HEADER = "# Written by `rsft lock`. Keep it with the study file; to change a revision: rsft lock --upgrade REPO"
_TABLE = "repository"
CONTENT = "content-"
"""How the revision of a mirror's content begins."""

Key = tuple[str, str]
"""(kind, owner/name) of a repository."""


@dataclass(frozen=True, kw_only=True)
class LockedFile:
    """One file of a repository."""

    name: str
    size: int
    sha256: str | None = None
    """Of its content; the hub knows it for files in large file storage."""
    git: str | None = None
    """Git's own hash of its content; of files in large file storage the hub does not tell it."""


@dataclass(frozen=True, kw_only=True)
class LockedRepository:
    """One repository at one commit."""

    kind: Literal["model", "dataset"]
    name: str
    revision: str
    commit: str | None = None
    """The hub's commit with the same files, where the revision is of a mirror's content."""
    resolved: str = ""
    """When the hub was asked, UTC."""
    gated: bool = False
    licence: str | None = None
    files: tuple[LockedFile, ...] = ()

    @property
    def key(self) -> Key:
        return self.kind, self.name


def lock_path() -> Path:
    """Where the user's lock is, or would be written."""
    if named := os.environ.get(LOCK_SETTING):
        return Path(named)
    study_file = os.environ.get(STUDY_FILE_SETTING)
    return (Path(study_file).parent if study_file else Path()) / "rsft.lock"


@dataclass(frozen=True)
class LockFile:
    """The user's lock as it stands: another content is another value."""

    path: Path
    changed: int
    size: int


def lock_file() -> LockFile | None:
    """The user's lock, if there is one: a file that is named and not there is still to be written."""
    path = lock_path()
    try:
        stat = path.stat()
    except OSError:
        return None
    return LockFile(path, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=4)
def load_lock(file: LockFile | None) -> dict[Key, LockedRepository]:
    """The user's lock over the package's."""
    return {**read_lock(PAPER_LOCK), **(read_lock(file.path) if file else {})}


def read_lock(path: Path) -> dict[Key, LockedRepository]:
    """The entries of one lock file."""
    where = f"{LOCK_SETTING}={path}"
    listed = read_toml(LOCK_SETTING, path, tables=(_TABLE,)).get(_TABLE, [])
    if not isinstance(listed, list):
        raise SpecError(f"{where}: {_TABLE}: {shown(listed)} must be a list of tables, [[{_TABLE}]]")
    entries: dict[Key, LockedRepository] = {}
    for number, fields in enumerate(listed):
        locked = entry(LockedRepository, fields, f"{where}: {_TABLE}[{number}]")
        for file in locked.files:
            if file.name.startswith("/") or ".." in file.name.split("/"):
                raise SpecError(f"{where}: {_TABLE}[{number}]: {file.name!r} leads out of the repository; remove it")
        if locked.key in entries:
            raise SpecError(f"{where}: {_TABLE}[{number}]: {locked.kind} {locked.name} is locked twice; remove one")
        entries[locked.key] = locked
    return entries


def locked_files(hub: Hub) -> dict[str, LockedFile]:
    """The files of a repository as they were when it was locked; empty where that is not known of its revision."""
    locked = _locked(hub)
    return {file.name: file for file in locked.files} if locked else {}


def commit_of(hub: Hub) -> str | None:
    """The commit to ask the hub for; None where none is known."""
    if hub.revision is None or not hub.revision.startswith(CONTENT):
        return hub.revision
    locked = _locked(hub)
    return locked.commit if locked else None


def _locked(hub: Hub) -> LockedRepository | None:
    locked = load_lock(lock_file()).get((hub.kind, hub.repo))
    return locked if locked is not None and locked.revision == hub.revision else None


def lock_text(entries: Iterable[LockedRepository]) -> str:
    """A lock file with these entries, sorted, the same for the same entries."""
    return "\n\n".join([_HEADER, *map(_entry_text, sorted(entries, key=lambda locked: locked.key))]) + "\n"


def _entry_text(locked: LockedRepository) -> str:
    lines = [f"[[{_TABLE}]]"]
    for field in ("kind", "name", "revision", "commit", "resolved", "licence"):
        if value := getattr(locked, field):
            lines.append(f"{field} = {_quoted(value)}")
    if locked.gated:
        lines.append("gated = true")
    if locked.files:
        lines += ["files = [", *map(_file_line, sorted(locked.files, key=lambda file: file.name)), "]"]
    return "\n".join(lines)


def _file_line(file: LockedFile) -> str:
    hashes = [f"{name} = {_quoted(value)}" for name in ("sha256", "git") if (value := getattr(file, name))]
    return f"    {{ {', '.join([f'name = {_quoted(file.name)}', f'size = {file.size}', *hashes])} }},"


def _quoted(text: str) -> str:
    """A TOML string: JSON's escapes are TOML's, but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
