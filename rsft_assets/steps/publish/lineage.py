"""What outputs were made from: their manifests as published JSON, the repositories behind them, licences, access."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import TABLE_OF, Ref
from rsft_assets.specs.lock import load_lock, lock_file
from rsft_assets.specs.repositories import hub_of
from rsft_assets.specs.study import Study
from rsft_assets.steps.questions.planning.closure import closure
from rsft_assets.steps.records.manifest import InputRecord, Manifest
from rsft_assets.steps.records.store import Output, Store

UNKNOWN = "unknown"
_FOLDERS = re.compile(r"(?<![\w.:/-])~?/(?:[^\s/'\"]+/)+")
"""The folders of an absolute path in a command."""
_OF_THIS_MACHINE = ("host", "user", "placement")


class Ancestry:
    """The outputs and everything that they were made from, as their manifests tell."""

    def __init__(self, study: Study, store: Store, outputs: Iterable[Output]) -> None:
        self._study = study
        self.manifests: dict[str, Manifest] = {}
        """Folder -> manifest, upstream last."""
        self.gone: dict[str, InputRecord] = {}
        """Inputs that are no longer in the home."""
        self._asked = [output.manifest.ref for output in outputs]
        queue = [(output.folder.relative_to(store.home).as_posix(), output) for output in outputs]
        while queue:
            folder, output = queue.pop(0)
            if folder in self.manifests:
                continue
            self.manifests[folder] = output.manifest
            for link in output.manifest.inputs:
                try:
                    queue.append((link.output, store.used(link)))
                except StepError:
                    self.gone[link.output] = link

    def repositories(self) -> list[str]:
        """What the content stems from, sorted. Benchmarks are left out: sets are only checked against them."""
        made = (made for made in self.manifests.values() if made.ref.stage != "benchmarks")
        repos = {repo for one in made for repo in _repos([_read(one.spec), one.adopted_from])}
        # What is gone is judged by what is declared now.
        gone = [ref for ref in map(_ref, self.gone.values()) if self._is_declared(ref)]
        declared = closure(self._study, [*gone, *self._asked])
        hubs = (hub_of(self._study, ref) for ref in declared if ref.stage != "benchmarks")
        return sorted(repos | {hub.repo for hub in hubs if hub is not None and not hub.local})

    def _is_declared(self, ref: Ref) -> bool:
        return ref.stage in TABLE_OF and ref.name in getattr(self._study, TABLE_OF[ref.stage])

    def unknown(self) -> list[str]:
        """What is neither in the home nor declared any more: nobody can say what it was made from."""
        gone = map(_ref, self.gone.values())
        return sorted({ref.asset for ref in gone if ref.stage in TABLE_OF and not self._is_declared(ref)})

    def licences(self) -> dict[str, str]:
        """Repository -> licence."""
        known = {entry.name: entry.licence for entry in load_lock(lock_file()).values()}
        return {repo: known.get(repo) or UNKNOWN for repo in self.repositories()}

    def gated(self) -> list[str]:
        """Those of the repositories for which access must be requested."""
        return sorted(set(self.repositories()) & gated_repositories(self._study))

    def not_asked(self) -> list[str]:
        """Those of which neither a declaration nor the lock tells whether they are gated."""
        return sorted(set(self.repositories()) - {entry.name for entry in load_lock(lock_file()).values()})

    def as_json(self) -> dict[str, Any]:
        """Every manifest without what tells of this machine; digests and specs prove the fingerprints."""
        gone = [
            {"asset": link.asset, "partition": link.partition, "digest": link.digest} for link in self.gone.values()
        ]
        return {"outputs": [_public_manifest(made) for made in self.manifests.values()], "not_kept": gone}


def _ref(link: InputRecord) -> Ref:
    return Ref(link.asset, link.partition)


def gated_repositories(study: Study) -> set[str]:
    """The repositories that a declaration or the lock calls gated."""
    locked = {entry.name for entry in load_lock(lock_file()).values() if entry.gated}
    entries = (entry for table in study.tables for entry in getattr(study, table).values())
    return locked | {repo for entry in entries for repo, gated in _declared(asdict(entry)) if gated}


def _declared(value: Any) -> Iterator[tuple[str, bool]]:
    if isinstance(value, dict):
        if isinstance(value.get("repo"), str):
            yield value["repo"], bool(value.get("gated"))
        for inner in value.values():
            yield from _declared(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _declared(inner)


def _repos(value: Any) -> Iterator[str]:
    for repo, _ in _declared(value):
        if repo and not repo.startswith(("/", "./", "../", "~/")):
            yield repo


def _read(spec: dict[str, Any]) -> dict[str, Any]:
    """A spec without the authors' file of a set that was made here."""
    made_here = spec.get("recipe", "published") != "published"
    return {name: value for name, value in spec.items() if name != "published" or not made_here}


def _public_manifest(made: Manifest) -> dict[str, Any]:
    kept = ("asset", "partition", "fingerprint", "digest", "spec", "origin", "adopted_from", "finished_at")
    return {
        **{name: getattr(made, name) for name in kept},
        "made_by": {k: public(v) for k, v in made.made_by.items() if k not in _OF_THIS_MACHINE},
        "inputs": [{"asset": i.asset, "partition": i.partition, "digest": i.digest} for i in made.inputs],
        "files": [asdict(record) for record in made.files],
    }


def public(value: Any) -> Any:
    """The same without the folders of absolute paths."""
    if isinstance(value, str):
        return _FOLDERS.sub("", value)
    if isinstance(value, dict):
        return {name: public(inner) for name, inner in value.items()}
    return [public(inner) for inner in value] if isinstance(value, list) else value
