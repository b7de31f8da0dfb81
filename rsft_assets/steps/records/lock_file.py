"""Writing the lock file: repositories at the revision that the study has, or the newest where it has none.

What a mirror holds is locked by its content, and the hub is not asked.
"""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from rsft_assets.specs.errors import NoAccess, SpecError, StepError, Unavailable, nearest
from rsft_assets.specs.lock import (
    CONTENT,
    LOCK_SETTING,
    LockedFile,
    LockedRepository,
    load_lock,
    lock_file,
    lock_path,
    lock_text,
    read_lock,
)
from rsft_assets.specs.repositories import Repository
from rsft_assets.steps.records.digest import bytes_digest
from rsft_assets.steps.records.hub import mirrored
from rsft_assets.steps.records.hub_client import git_hash, resolve


def unlocked(repositories: Iterable[Repository]) -> list[Repository]:
    """Those of which the lock lacks the revision that is used, its files, or the commit that the hub has them in."""
    lock = load_lock(lock_file())
    return [one for one in repositories if not _is_complete(lock.get(one.key), one)]


def _is_complete(locked: LockedRepository | None, one: Repository) -> bool:
    if locked is None or not locked.files or locked.revision != one.revision:
        return False
    if not all(file.sha256 or file.git for file in locked.files):
        return False
    return bool(locked.commit) or not is_content(one) or mirrored(one.hubs[0]) is not None


def is_content(one: Repository) -> bool:
    """Whether its revision is that of a mirror's content."""
    return (one.revision or "").startswith(CONTENT)


def upgradable(repositories: Collection[Repository], names: Collection[str]) -> list[Repository]:
    """Of repositories as they are without any lock, those of these names; one with a declared revision is refused."""
    known = {one.name: one for one in repositories}
    for name in names:
        if name not in known:
            raise SpecError(f"--upgrade {name!r}: the selection reads no such repository: {nearest(name, known)}")
        if known[name].revision is not None:
            raise SpecError(f"--upgrade {name!r}: its revision is declared; change it in the study file")
    return [known[name] for name in names]


def lock(
    repositories: Iterable[Repository],
    say: Callable[[LockedRepository], None],
    *,
    upgrade: Collection[str] = (),
) -> dict[str, str]:
    """Resolve each, write it to the lock file and call `say` with it; returns the errors by name."""
    problems: dict[str, str] = {}
    silent = ""
    for one in repositories:
        try:
            if silent and not mirrored(one.hubs[0]):
                raise Unavailable(f"{one.name}: not asked, since the hub did not answer: {silent}")
            locked = _resolved(one, None if one.name in upgrade else one.revision)
        except StepError as error:
            problems[one.name] = str(error)
            if isinstance(error, Unavailable) and not isinstance(error, NoAccess):
                silent = silent or str(error)
            continue
        _write(locked)
        say(locked)
    return problems


def _resolved(one: Repository, revision: str | None) -> LockedRepository:
    if folder := mirrored(one.hubs[0]):
        return _as_mirrored(one, folder, revision)
    if revision is None or not revision.startswith(CONTENT):
        return resolve(one.kind, one.name, revision)
    newest = resolve(one.kind, one.name)
    if other := _differing(load_lock(lock_file())[one.key].files, newest.files):
        raise StepError(
            f"{one.name}: the hub's newest commit, {newest.revision}, has not the content that is locked from a mirror "
            f"({other}); set RSFT_MIRROR, or accept the hub's: rsft lock --upgrade {one.name}"
        )
    return replace(newest, revision=revision, commit=newest.revision)


def _as_mirrored(one: Repository, folder: Path, revision: str | None) -> LockedRepository:
    """The mirror's files, under the revision that is declared or one made of their content."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    files = tuple(
        LockedFile(name=name, size=path.stat().st_size, sha256=bytes_digest(path), git=git_hash(path))
        for name in names
        if not name.startswith(".") and (path := folder / name)
    )
    if revision is None or revision.startswith(CONTENT):
        listing = "".join(f"{file.sha256}  {file.name}\n" for file in files)
        revision = CONTENT + hashlib.sha256(listing.encode()).hexdigest()[:40]
    # A mirror does not tell access and licence.
    known = load_lock(lock_file()).get(one.key)
    return LockedRepository(
        kind=one.hubs[0].kind,
        name=one.name,
        revision=revision,
        gated=one.gated or (known is not None and known.gated),
        licence=known.licence if known else None,
        files=files,
    )


def _differing(mirrored: Iterable[LockedFile], published: Iterable[LockedFile]) -> str:
    """The first of the mirror's files that is another on the hub, "" where there is none."""
    theirs = {file.name: file for file in published}
    for file in mirrored:
        other = theirs.get(file.name)
        if other is None or (file.sha256 != other.sha256 if other.sha256 else file.git != other.git):
            return f"{file.name} differs" if other else f"it has no {file.name}"
    return ""


def _write(locked: LockedRepository) -> None:
    """Add an entry to the user's lock file, at once: what was resolved survives an interruption."""
    path = lock_path()
    aside = path.with_name(f".{path.name}.new")
    try:
        with _alone(path):
            entries = {**read_lock(path), locked.key: locked}
            aside.write_text(lock_text(entries.values()), encoding="utf-8")
            aside.replace(path)
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror}; name a file that can be written in {LOCK_SETTING}") from error


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the lock file, made if need be; users with other homes may write it, too."""
    while True:
        with path.open("a", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # Each write replaces the file, so the one that was waited for may be gone.
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                yield
                return
