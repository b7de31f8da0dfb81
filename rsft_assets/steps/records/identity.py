"""The identity of an output, its differences from another, and the command that makes it."""

from dataclasses import dataclass
from typing import Any

from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.records.manifest import InputRecord, Manifest
from rsft_assets.steps.records.proof import identity_hash


@dataclass(frozen=True)
class Identity:
    """The identity of an output: its spec and the digests of its inputs."""

    ref: Ref
    spec: dict[str, Any]
    inputs: tuple[InputRecord, ...]

    @property
    def fingerprint(self) -> str:
        return identity_hash(self.spec, ((i.asset, i.partition, i.digest) for i in self.inputs))


def changed_fields(old: Manifest, new: Identity) -> list[str]:
    """Which declared fields or inputs differ, in words."""
    changed = _differences(old.spec, new.spec, "")
    before = {(i.asset, i.partition): i.digest for i in old.inputs}
    after = {(i.asset, i.partition): i.digest for i in new.inputs}
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            changed.append(f"input {Ref(*key)}")
    return changed


def _differences(old: Any, new: Any, at: str) -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys())
        return [word for key in keys for word in _differences(old.get(key), new.get(key), f"{at}.{key}".lstrip("."))]
    return [] if old == new else [f"{at} ({old!r} -> {new!r})"]


def materialize_command(ref: Ref) -> str:
    """What a person types to make `ref`."""
    if not ref.partition:
        return f"rsft materialize {ref.asset}"
    if ref.stage in ("checkpoints", "scores"):
        return f"rsft materialize {ref.asset} --run {ref.run} --step {ref.step}"
    return f"rsft materialize {ref.asset} --partition '{ref.partition}'"
