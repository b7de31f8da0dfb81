"""What can happen to a file: each function takes it, its random numbers and another file, and changes it in place."""

import dataclasses
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rsft_assets.steps.records.digest import combined_digest, file_digest
from rsft_assets.steps.records.manifest import POINTER, manifest_hash, read_json, write_json, write_manifest
from rsft_assets.steps.records.output import Output


def flip(path: Path, numbers: random.Random, other: Path) -> None:
    content = bytearray(path.read_bytes())
    if content:
        content[numbers.randrange(len(content))] ^= 1 << numbers.randrange(8)
    path.write_bytes(content)


def cut(path: Path, numbers: random.Random, other: Path) -> None:
    os.truncate(path, numbers.randrange(path.stat().st_size or 1))


def empty(path: Path, numbers: random.Random, other: Path) -> None:
    os.truncate(path, 0)


def swap(path: Path, numbers: random.Random, other: Path) -> None:
    shutil.copyfile(other, path)


def folder(path: Path, numbers: random.Random, other: Path) -> None:
    path.unlink()
    path.mkdir()


def gone(path: Path, numbers: random.Random, other: Path) -> None:
    path.unlink()


def dangling(path: Path, numbers: random.Random, other: Path) -> None:
    path.unlink()
    path.symlink_to("nothing")


def link(path: Path, numbers: random.Random, other: Path) -> None:
    """To another file of its kind, out of its folder."""
    path.unlink()
    path.symlink_to(other)


def nested(path: Path, numbers: random.Random, other: Path) -> None:
    path.write_text("[" * 100_000, encoding="utf-8")


def edit(path: Path, numbers: random.Random, other: Path) -> None:
    """Another content, with the manifest's digests made to fit."""
    _change(path, numbers)
    output = Output.at(path.parent)
    files = [
        dataclasses.replace(record, bytes=path.stat().st_size, digest=file_digest(path)[0])
        if record.path == path.name
        else record
        for record in output.manifest.files
    ]
    digest = combined_digest({record.path: record.digest for record in files})
    write_manifest(path.parent, dataclasses.replace(output.manifest, files=files, digest=digest))


def forge(path: Path, numbers: random.Random, other: Path) -> None:
    """The same, with the pointer's hash made to fit, too."""
    edit(path, numbers, other)
    pointer = path.parent.parent / POINTER
    data = read_json(pointer, "pointer")
    data["manifests"][path.parent.name] = manifest_hash(path.parent)
    write_json(pointer, data)


def _change(path: Path, numbers: random.Random) -> None:
    if path.suffix != ".parquet":
        content = path.read_bytes()
        at = numbers.randrange(len(content) * 3 // 4, len(content)) if content else 0
        path.write_bytes(content[:at] + bytes([content[at] ^ 1 if content else 65]) + content[at + 1 :])
        return
    table = pq.read_table(path)
    rows = table.to_pylist()
    row = numbers.choice(rows)
    name = numbers.choice([field.name for field in table.schema if _can_change(row[field.name])])
    row[name] = _another(row[name])
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)


def _can_change(value: Any) -> bool:
    return isinstance(value, (str, int, float)) and not isinstance(value, bool)


def _another(value: Any) -> Any:
    return value + "x" if isinstance(value, str) else value + 1


Damage = Callable[[Path, random.Random, Path], None]
OF_BYTES: tuple[Damage, ...] = (flip, cut, empty, swap, folder, gone, dangling, link)
OF_JSON: tuple[Damage, ...] = (nested,)
OF_OUTPUTS: tuple[Damage, ...] = (edit,)
OF_INPUTS: tuple[Damage, ...] = (forge,)
"""Of outputs that something stands on; nothing can tell a leaf that was forged whole."""
