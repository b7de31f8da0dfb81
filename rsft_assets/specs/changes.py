"""What a study file changes of declared things: overrides, published material in place of ours, revisions.

Revisions are filled in last, so that one of the file comes before one of the lock.
"""

import dataclasses
import fnmatch
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rsft_assets.specs.datasets import Dataset
from rsft_assets.specs.errors import SpecError, nearest
from rsft_assets.specs.hub import Hub, Kind
from rsft_assets.specs.lock import Key
from rsft_assets.specs.responses import Pool
from rsft_assets.specs.study_file import StudyFile
from rsft_assets.specs.toml_file import checked_fields

if TYPE_CHECKING:
    from rsft_assets.specs.study import Study

_NOUNS = {"adopt": "run", "adopt_datasets": "data set", "adopt_pools": "pool"}


def change(study: "Study", file: StudyFile, revisions: Mapping[Key, str]) -> None:
    """Apply a study file to the declared tables; `revisions` fills in what neither they nor the file pin."""
    for table, by_name in file.override.items():
        for name, fields in by_name.items():
            entries = getattr(study, table)
            entries[name] = _overridden(study.get(table, name), fields, f"override.{table}.{name}")
    _adopt(study.runs, "adopt", file.adopt, "model", lambda run: replace(run, adopt=True))
    _adopt(study.datasets, "adopt_datasets", file.adopt_datasets, "dataset", _published_set)
    _adopt(study.pools, "adopt_pools", file.adopt_pools, "dataset", _published_pool)
    pinned: dict[str, str] = {}
    for table in study.tables:
        entries = getattr(study, table)
        for name, entry in entries.items():
            entries[name] = _pinned(entry, file.pins, revisions, pinned)
    for repo in file.pins.keys() - pinned.keys():
        raise SpecError(f"pins {repo!r}: nothing reads this repository without a revision of its own; remove the line")


def _published_set(dataset: Dataset) -> Dataset:
    return replace(dataset, recipe="published", pool=None, like=None, source=None)


def _published_pool(pool: Pool) -> Pool:
    if pool.published is None:
        raise SpecError(f"adopt_pools {pool.name!r}: no published responses are known; name their repository as `repo`")
    return replace(pool, adopted=pool.published)


def _overridden(entry: Any, fields: Mapping[str, Any], where: str) -> Any:
    """The entry with these fields in place of its own; those of its `origin` may be given, too."""
    origin: Any = getattr(entry, "origin", None)
    own = {field.name for field in dataclasses.fields(entry)} - {"name"}
    inner = {field.name for field in dataclasses.fields(origin)} - own if origin is not None else set()
    for name in fields:
        if name not in own | inner:
            raise SpecError(f"{where}: unknown field {name!r}: {nearest(name, own | inner)}")
    if of_origin := {name: value for name, value in fields.items() if name in inner}:
        origin = replace(origin, **checked_fields(type(origin), of_origin, where))
        entry = replace(entry, origin=origin)
    return replace(entry, **checked_fields(type(entry), {k: v for k, v in fields.items() if k in own}, where))


def _adopt(
    table: dict[str, Any], what: str, file: Mapping[str, Mapping[str, Any]], kind: Kind, adopted: Callable[[Any], Any]
) -> None:
    """Put published material in place of ours for the entries that each name or glob matches."""
    for pattern, fields in file.items():
        matched = [entry for name, entry in table.items() if fnmatch.fnmatchcase(name, pattern)]
        if not matched:
            raise SpecError(f"{what} {pattern!r}: no {_NOUNS[what]} matches: {nearest(pattern, table)}")
        # A glob selects published entries only. A name, or a glob without a published match, is left to validation.
        for entry in [entry for entry in matched if entry.published] or matched:
            known = entry.published
            if "repo" in fields and (known is None or fields["repo"] != known.repo):
                # Another repository has files, revisions and columns of its own.
                known = Hub(repo="", kind=kind)
            table[entry.name] = adopted(replace(entry, published=replace(known, **fields) if known else None))


def _pinned(entry: Any, pins: Mapping[str, str], revisions: Mapping[Key, str], used: dict[str, str]) -> Any:
    """The entry with a revision in each repository that it reads and that has none."""
    if isinstance(entry, Hub):
        if entry.revision is not None:
            return entry
        if entry.repo in pins:
            used[entry.repo] = pins[entry.repo]
        revision = pins.get(entry.repo) or revisions.get((entry.kind, entry.repo))
        return replace(entry, revision=revision) if revision else entry
    if isinstance(entry, Dataset) and entry.recipe != "published":
        # Where its authors' file is not read, its revision is not what the set is.
        return entry
    inner = {
        field.name: _pinned(value, pins, revisions, used)
        for field in dataclasses.fields(entry)
        if dataclasses.is_dataclass(value := getattr(entry, field.name))
    }
    return replace(entry, **inner) if inner else entry
