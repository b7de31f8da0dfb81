"""Writing the lock file: repositories at the revision that the study has, or the newest where it has none."""

from collections.abc import Callable, Collection, Iterable

from rsft_assets.specs.errors import SpecError, StepError, nearest
from rsft_assets.specs.lock import (
    LOCK_SETTING,
    LockedRepository,
    load_lock,
    lock_file,
    lock_path,
    lock_text,
    read_lock,
)
from rsft_assets.specs.repositories import Repository
from rsft_assets.steps.records.hub_client import resolve
from rsft_assets.steps.records.locks import exclusive
from rsft_assets.steps.records.store import Store


def unlocked(repositories: Iterable[Repository]) -> list[Repository]:
    """Those of which the lock lacks the revision that is used, or its files."""
    lock = load_lock(lock_file())
    return [one for one in repositories if not _is_complete(lock.get(one.key), one)]


def _is_complete(locked: LockedRepository | None, one: Repository) -> bool:
    return locked is not None and bool(locked.files) and locked.revision == one.revision


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
    for one in repositories:
        try:
            locked = resolve(one.kind, one.name, None if one.name in upgrade else one.revision)
        except StepError as error:
            problems[one.name] = str(error)
            continue
        _write(locked)
        say(locked)
    return problems


def _write(locked: LockedRepository) -> None:
    """Add an entry to the user's lock file, at once: what was resolved survives an interruption."""
    path = lock_path()
    home = Store.from_env().home
    home.mkdir(parents=True, exist_ok=True)
    with exclusive(home / ".lock-file", str(path)):
        entries = {**(read_lock(path) if path.exists() else {}), locked.key: locked}
        aside = path.with_name(f".{path.name}.new")
        try:
            aside.write_text(lock_text(entries.values()), encoding="utf-8")
            aside.replace(path)
        except OSError as error:
            raise SpecError(f"{path}: {error.strerror}; name a file that can be written in {LOCK_SETTING}") from error
