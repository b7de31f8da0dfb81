"""What one repository of a hub is to hold."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rsft_assets.specs.hub import Kind

CARD, LINEAGE = "README.md", "lineage.json"
DESCRIBING = (CARD, LINEAGE, ".eval_results/")
"""What describes the content of a repository, and is written anew when more is added to it."""


@dataclass
class Publication:
    """One repository: its files, and what is said about them."""

    what: str
    """The asset, or the run."""
    kind: Kind
    repo: str
    files: dict[str, Path | bytes] = field(default_factory=dict)
    """Path in the repository -> a file here, or its content."""
    licences: dict[str, str] = field(default_factory=dict)
    """Repository that it was made from -> its licence, as the lock has it."""
    left_out: list[str] = field(default_factory=list)
    """What is not sent, and why."""
    grows: bool = False
    """Whether another build of the same may take its place in the repository."""

    @property
    def sizes(self) -> dict[str, int]:
        """Path in the repository -> bytes, sorted."""
        return {
            name: len(content) if isinstance(content, bytes) else content.stat().st_size
            for name, content in sorted(self.files.items())
        }


def as_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False).encode() + b"\n"
