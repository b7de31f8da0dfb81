"""From selected cells to repositories: what can be published, what cannot, and why."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from rsft_assets.specs.errors import SpecError
from rsft_assets.specs.hub import Hub
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.study import Study
from rsft_assets.steps.publish.lineage import Ancestry
from rsft_assets.steps.publish.publication import Publication
from rsft_assets.steps.publish.runs import publication_of_run
from rsft_assets.steps.publish.tables import publication_of_results
from rsft_assets.steps.publish.training_sets import publication_of_set
from rsft_assets.steps.publish.withheld import Withheld
from rsft_assets.steps.records.store import Output, Store

STAGES = ("datasets", "checkpoints", "results", "report")


@dataclass
class Chosen:
    """What a selection comes to."""

    publications: list[Publication] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """Cells that are not published at all, and why."""


def choose(study: Study, store: Store, refs: Sequence[Ref], owner: str, licence: str | None = None) -> Chosen:
    """The repositories of these cells, complete but for what must not leave."""
    if other := sorted({ref.asset for ref in refs if ref.stage not in STAGES}):
        raise SpecError(f"{other[0]}: only datasets, checkpoints and results are published; select these")
    chosen, withheld = Chosen(), Withheld(study, store)
    for publication in _made(study, store, refs, owner, licence, chosen):
        # It is published whole or not at all: its card tells of every file.
        if problem := withheld.held_by(publication):
            chosen.left_out.append(f"{publication.what}: {problem}")
        else:
            chosen.publications.append(publication)
    return chosen


def _made(
    study: Study, store: Store, refs: Sequence[Ref], owner: str, licence: str | None, chosen: Chosen
) -> Iterator[Publication]:
    steps: dict[str, dict[int, Output]] = {}
    for ref, output in _allowed(study, store, refs, chosen):
        if ref.stage == "datasets":
            yield publication_of_set(study, store, ref, owner, licence)
        else:
            steps.setdefault(ref.run, {})[ref.step] = output
    for run, outputs in steps.items():
        yield publication_of_run(study, store, study.runs[run], outputs, owner, licence)
    if any(ref.stage in ("results", "report") for ref in refs):
        yield publication_of_results(study, store, owner, licence)


def _allowed(study: Study, store: Store, refs: Iterable[Ref], chosen: Chosen) -> Iterator[tuple[Ref, Output]]:
    """Sets and checkpoints that are made and that stem from nothing gated; why the others are left out."""
    not_made: Counter[str] = Counter()
    for ref in refs:
        if ref.stage not in ("datasets", "checkpoints"):
            continue
        output = store.current(ref)
        if output is None:
            not_made[ref.asset] += 1
        elif ref.stage == "checkpoints" and ref.step == 0:
            chosen.left_out.append(f"{ref}: step 0 is the base model itself")
        elif source := _published_source(output):
            chosen.left_out.append(f"{ref}: adopted from {source}, where it is published")
        elif problem := _hidden_source(Ancestry(study, store, [output])):
            chosen.left_out.append(f"{ref}: made from {problem}")
        else:
            yield ref, output
    chosen.left_out += [f"{asset}: {count} not made yet" for asset, count in not_made.items()]


def _hidden_source(ancestry: Ancestry) -> str | None:
    """What an output was made from that keeps it from being published."""
    if gated := ancestry.gated():
        return f"{', '.join(gated)}, which is gated"
    if not_asked := ancestry.not_asked():
        return f"{', '.join(not_asked)}, which may be gated: the lock file has no entry; lock it: rsft lock"
    if unknown := ancestry.unknown():
        return f"{', '.join(unknown)}, which is neither kept nor declared any more: its sources are not known"
    return None


def _published_source(output: Output) -> str | None:
    """The repository that an output was adopted from; a folder of one's own is none."""
    source = output.manifest.adopted_from
    return None if source is None or "repo" not in source or Hub(repo=source["repo"]).local else str(source["from"])
