"""Writing the lock file: repositories at the revision that the study has, or the newest where it has none."""

from collections.abc import Callable, Collection, Iterable

from rsft_assets.specs.errors import SpecError, StepError, nearest
from rsft_assets.specs.lock import Key, LockedRepository, load_lock, lock_file, lock_path, lock_text, read_lock
from rsft_assets.specs.repositories import Repository
from rsft_assets.steps.records.hub_client import resolve
from rsft_assets.steps.records.locks import exclusive


def unlocked(repositories: Iterable[Repository]) -> list[Repository]:
    """Those of which the lock lacks the revision that is used, or its files."""
    lock = load_lock(lock_file())
    return [one for one in repositories if not _is_complete(lock.get(one.key), one)]


def _is_complete(locked: LockedRepository | None, one: Repository) -> bool:
    return locked is not None and bool(locked.files) and locked.revision == one.revision


def upgradable(repositories: Collection[Repository], names: Collection[str]) -> list[Repository]:
    """The repositories of these names, to be resolved anew; one with a declared revision is refused."""
    known, lock = {one.name: one for one in repositories}, load_lock(lock_file())
    for name in names:
        if name not in known:
            raise SpecError(f"--upgrade {name!r}: the selection reads no such repository: {nearest(name, known)}")
        one = known[name]
        locked = lock.get(one.key)
        if one.revision is not None and (locked is None or locked.revision != one.revision):
            raise SpecError(f"--upgrade {name!r}: its revision is declared; change it in the study file")
    return [known[name] for name in names]


def lock(
    repositories: Iterable[Repository],
    say: Callable[[LockedRepository], None],
    *,
    upgrade: Collection[str] = (),
) -> dict[str, str]:
    """Resolve each and write the lock file; `say` hears of each. What could not be resolved, and why."""
    found: dict[Key, LockedRepository] = {}
    problems: dict[str, str] = {}
    for one in repositories:
        try:
            locked = resolve(one.kind, one.name, None if one.name in upgrade else one.revision)
        except StepError as error:
            problems[one.name] = str(error)
            continue
        found[one.key] = locked
        say(locked)
    if found:
        _write(found)
    return problems


def _write(found: dict[Key, LockedRepository]) -> None:
    """Add entries to the user's lock file."""
    path = lock_path()
    with exclusive(path.with_name(f".{path.name}.writing"), str(path)):
        entries = {**(read_lock(path) if path.exists() else {}), **found}
        aside = path.with_name(f".{path.name}.new")
        aside.write_text(lock_text(entries.values()), encoding="utf-8")
        aside.replace(path)
