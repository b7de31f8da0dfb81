"""What there is under RSFT_HOME: every current output and every completions folder, damage named.

Only `current.json` and manifests are read, so this costs milliseconds a hundred outputs.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.records.manifest import FILE_NAME
from rsft_assets.steps.records.pointers import outputs_in_use
from rsft_assets.steps.records.proof import COMPLETIONS
from rsft_assets.steps.records.store import Output, Store
from rsft_assets.steps.results.record_tables import STAGES


@dataclass
class Found:
    """One output as the database knows it."""

    output: Output
    place: str
    """Folder relative to RSFT_HOME."""
    damage: str | None
    inputs: list[tuple[str, str, str, str]] = field(default_factory=list)
    """(asset, partition, digest, folder) of each."""

    @property
    def id(self) -> int:
        return output_id(self.place, self.output.digest)

    @property
    def stage(self) -> str:
        return self.output.manifest.asset.split("/")[0]

    @property
    def bytes(self) -> int:
        return sum(record.bytes for record in self.output.manifest.files)


def output_id(place: str, digest: str) -> int:
    """A number that is the same wherever RSFT_HOME stands and however often the database is built."""
    return int.from_bytes(hashlib.sha256(f"{place}\n{digest}".encode()).digest()[:8], "big") >> 1


def find_outputs(store: Store) -> tuple[list[Found], list[tuple[str, str]]]:
    """(outputs in a fixed order, problems as (place, words)); a damaged output does not affect the others."""
    outputs: list[Found] = []
    problems: list[tuple[str, str]] = []
    for pointer, output in outputs_in_use(store.home, STAGES):
        if isinstance(output, str):
            problems.append((pointer.parent.relative_to(store.home).as_posix(), output))
        else:
            outputs.append(_found(store, output))
    texts: dict[str, Found] = {}
    for one in outputs:
        if one.stage == "scores":
            _add_completions(store, one, texts, problems)
    outputs += [texts[place] for place in sorted(texts)]
    problems += [(one.place, one.damage) for one in outputs if one.damage]
    return outputs, problems


def _found(store: Store, output: Output) -> Found:
    inputs = [(i.asset, i.partition, i.digest, i.output) for i in output.manifest.inputs]
    return Found(output, output.folder.relative_to(store.home).as_posix(), output.damage(content=False), inputs)


def completions_place(stats: dict[str, Any]) -> str | None:
    """Where a score's texts are, relative to RSFT_HOME."""
    said = stats.get(COMPLETIONS)
    if isinstance(said, dict):
        said = said.get("folder")
    return said if isinstance(said, str) and said else None


def completions_of(store: Store, score: Output) -> Output | None:
    """The completions that a score was graded from; None where it names none."""
    place = completions_place(score.stats)
    return Output.at(store.home / place) if place else None


def _add_completions(store: Store, score: Found, texts: dict[str, Found], problems: list[tuple[str, str]]) -> None:
    place = completions_place(score.output.stats)
    if place is None:
        return
    if place not in texts:
        if not (store.home / place / FILE_NAME).is_file():
            problems.append((place, f"completions of {score.output.manifest.ref} are missing"))
            return
        try:
            texts[place] = _found(store, Output.at(store.home / place))
        except StepError as error:
            problems.append((place, str(error)))
            return
    one = texts[place]
    ref = one.output.manifest.ref
    score.inputs.append((ref.asset, ref.partition, one.output.digest, place))


def ref_parts(ref: Ref) -> tuple[str, str | None, str | None, str | None, int | None]:
    """(stage, name, benchmark, run, step) of an asset's partition, None where it has no such part."""
    parts = ref.asset.split("/")
    benchmark = parts[2] if parts[0] == "scores" else (parts[1] if parts[0] in ("benchmarks", COMPLETIONS) else None)
    on_grid = parts[0] in ("checkpoints", "scores") and ref.partition
    run, step = (ref.run, ref.step) if on_grid else (None, None)
    return parts[0], parts[1] if len(parts) > 1 else None, benchmark, run, step
