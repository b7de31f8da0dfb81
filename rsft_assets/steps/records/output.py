"""One finished output: its folder and manifest, and whether its files are what the manifest says."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsft_assets.specs.errors import StepError
from rsft_assets.steps.records.checked import content_damage
from rsft_assets.steps.records.manifest import FileRecord, Manifest, read_manifest, read_pointer


@dataclass(frozen=True)
class Output:
    """One finished output: its folder and manifest."""

    folder: Path
    manifest: Manifest

    @classmethod
    def at(cls, folder: Path) -> "Output":
        """The output of a folder, whatever its slot points at; a `StepError` where that has no sound manifest."""
        return cls(folder, read_manifest(folder))

    @classmethod
    def pointed_at(cls, path: Path) -> "Output":
        """The output that a pointer names; `FileNotFoundError` where there is no pointer."""
        pointer = read_pointer(path)
        folder = path.parent / pointer.output
        return cls(folder, read_manifest(folder, pointer))

    @property
    def digest(self) -> str:
        return self.manifest.digest

    @property
    def stats(self) -> dict[str, Any]:
        return self.manifest.stats

    def file(self, name: str) -> Path:
        """Path of one of its files; only what the manifest lists is ever used."""
        if not self.has(name):
            raise StepError(f"{self.manifest.ref}: its manifest lists no file {name!r} ({self.folder})")
        return self.folder / name

    def has(self, name: str) -> bool:
        """Whether its manifest lists this file."""
        return any(record.path == name for record in self.manifest.files)

    def shared_with(self, folder: Path) -> list[FileRecord]:
        """Those of its files that another folder holds, too, as links."""
        pairs = [(record, self.folder / record.path, folder / record.path) for record in self.manifest.files]
        return [record for record, mine, other in pairs if other.exists() and other.samefile(mine)]

    def damage(self, *, content: bool) -> str | None:
        """What is wrong with its files, in words: presence and size, and with `content` every byte."""
        for record in self.manifest.files:
            path = self.folder / record.path
            if not path.is_file():
                return f"{path} is missing"
            if path.stat().st_size != record.bytes:
                return f"{path} has {path.stat().st_size} bytes, its manifest says {record.bytes}"
        return content_damage(self.folder, self.manifest.files, again=True) if content else None

    def changed(self, names: Iterable[str]) -> str | None:
        """What is wrong with the content of these files, in words; what was found right is not read again."""
        wanted = set(names)
        return content_damage(self.folder, [one for one in self.manifest.files if one.path in wanted], again=False)

    def verified(self) -> "Output":
        """Itself, after reading every file that may have changed; damage is a `StepError` that names the file."""
        problem = self.damage(content=False) or self.changed(record.path for record in self.manifest.files)
        if problem:
            raise StepError(f"{self.manifest.ref} is damaged: {problem}; materialize it again with --force")
        return self
