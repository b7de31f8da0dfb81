"""Which hub repositories cells read."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from rsft_assets.specs.hub import Hub
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.lock import Key
from rsft_assets.specs.study import Study


@dataclass
class Repository:
    """A repository, what reads it and from where."""

    kind: str
    name: str
    hubs: list[Hub] = field(default_factory=list)
    assets: set[str] = field(default_factory=set)

    @property
    def key(self) -> Key:
        return self.kind, self.name

    @property
    def gated(self) -> bool:
        return any(hub.gated for hub in self.hubs)

    @property
    def revision(self) -> str | None:
        return next((hub.revision for hub in self.hubs if hub.revision), None)

    @property
    def unpinned(self) -> bool:
        return any(hub.revision is None for hub in self.hubs)


def repositories(study: Study, refs: Iterable[Ref]) -> list[Repository]:
    """The repositories that these cells read, sorted; folders of one's own are none."""
    by_key: dict[Key, Repository] = {}
    for ref in refs:
        hub = hub_of(study, ref)
        if hub is not None and not hub.local:
            one = by_key.setdefault((hub.kind, hub.repo), Repository(hub.kind, hub.repo))
            one.assets.add(ref.asset)
            if hub not in one.hubs:
                one.hubs.append(hub)
    return [by_key[key] for key in sorted(by_key)]


def hub_of(study: Study, ref: Ref) -> Hub | None:
    """The repository that a cell itself reads, without those of what it is made from."""
    place: object = None
    if ref.stage == "queries":
        place = study.sources[ref.name].origin
    elif ref.stage == "benchmarks":
        place = study.benchmarks[ref.name].origin
    elif ref.stage == "base_models":
        place = study.models[ref.name].origin
    elif ref.stage == "responses":
        pool = study.pools[ref.name]
        place = pool.adopted or pool.teacher.origin
    elif ref.stage == "datasets":
        dataset = study.datasets[ref.name]
        place = dataset.published if dataset.recipe == "published" else None
    elif ref.stage == "checkpoints" and ref.step > 0:
        run = study.runs[ref.run]
        place = run.published if run.adopt else None
    return place if isinstance(place, Hub) else None
