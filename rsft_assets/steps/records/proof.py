"""Checks of a manifest: the types of its fields, and how its values must agree with each other and with its folder.

They need no further reading, so every reader makes them. Values that nothing else repeats (statistics, times, who
made it) are checked by the hash in the pointer.
"""

import datetime
import functools
import re
import types
import typing
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from rsft_assets.specs.fingerprint import SHORT, fingerprint
from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.records.columns import FILES_OF_STAGE
from rsft_assets.steps.records.digest import combined_digest

FOLDER_NAME = re.compile(rf"[0-9a-f]{{{SHORT}}}(\.\d+)?")
"""Of an output: its short fingerprint, and a number where it was made again."""
COMPLETIONS = "completions"


def identity_hash(spec: Any, inputs: Iterable[tuple[str, str, str]]) -> str:
    """The fingerprint of what a spec makes from inputs of (asset, partition, digest)."""
    return fingerprint({"spec": spec, "inputs": [list(one) for one in inputs]})


def missing_files(stage: str, names: Iterable[str]) -> list[str]:
    """Which files an output of a stage lacks."""
    there = list(names)
    return [one for one in FILES_OF_STAGE.get(stage, ()) if not any(fnmatchcase(name, one) for name in there)]


def wrong_fields(data: Any, record: type, at: str = "") -> Iterator[str]:
    """Words for every field of a dataclass that JSON data lack, have beside them, or hold in another type."""
    if not isinstance(data, dict):
        yield f"{at or 'it'} is a {type(data).__name__}, not an object"
        return
    known = _types_of(record)
    for name in known.keys() ^ data.keys():
        yield f"{at}{name} is {'missing' if name in known else 'no known field'}"
    for name in known.keys() & data.keys():
        if type(data[name]) not in known[name]:
            yield f"{at}{name} is a {type(data[name]).__name__}"


@functools.cache
def _types_of(record: type) -> dict[str, tuple[type, ...]]:
    kinds = {}
    for name, hint in typing.get_type_hints(record).items():
        each = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        plain = tuple(typing.get_origin(one) or one for one in each)
        # JSON has one kind of number.
        kinds[name] = (*plain, int) if float in plain else plain
    return kinds


def contradictions(data: dict[str, Any], folder: Path) -> Iterator[str]:
    """Words for everything in a manifest, its fields being of the right types, that cannot be true of `folder`."""
    ref = Ref(data["asset"], data["partition"])
    place = (*ref.asset.split("/"), *filter(None, ref.partition.split("|")))
    if folder.parent.parts[-len(place) :] != place:
        yield f"it is the manifest of {ref}, which belongs to another folder"
    name = folder.name
    if not FOLDER_NAME.fullmatch(name) or name[:SHORT] != data["fingerprint"][:SHORT]:
        yield f"its fingerprint {data['fingerprint'][:SHORT]!r} is not the folder's name"
    if data["fingerprint"] != _fingerprint(ref.stage, data):
        yield "its fingerprint is not the hash of its spec and inputs"
    digests = {entry["path"]: entry["digest"] for entry in data["files"]}
    if data["digest"] != combined_digest(digests) or len(digests) != len(data["files"]):
        yield "its digest is not that of its files"
    for path in digests:
        if any(part in ("", ".", "..") for part in path.split("/")):
            yield f"{path!r} is not a path below its folder"
    for path in missing_files(ref.stage, digests):
        yield f"it lists no {path}"
    if data["origin"] != ("computed" if data["adopted_from"] is None else "adopted"):
        yield f"origin is {data['origin']!r}, adopted_from is {data['adopted_from']!r}"
    for name in ("started_at", "finished_at"):
        if data[name]:
            try:
                datetime.datetime.fromisoformat(data[name])
            except ValueError:
                yield f"{name} is {data[name]!r}, which is not a time"


def _fingerprint(stage: str, data: dict[str, Any]) -> str | None:
    spec, inputs = data["spec"], data["inputs"]
    if stage != COMPLETIONS:
        return identity_hash(spec, ((one["asset"], one["partition"], one["digest"]) for one in inputs))
    # Texts belong to weights, whichever run they came from: their inputs count by stage and digest, inside the spec.
    named = [[one["asset"].partition("/")[0], one["digest"]] for one in inputs]
    return fingerprint(spec) if spec.get("inputs") == named else None
