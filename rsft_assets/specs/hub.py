"""Where published material comes from: a hub repository at a pinned revision, or its offline mirror.

`RSFT_MIRROR` names a folder in the hub's own layout (`<mirror>/<owner>/<name>/…`); set, it is used for
every model, data set, tokenizer and benchmark. `steps/records/hub.py` does the reading.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["model", "dataset"]


@dataclass(frozen=True, kw_only=True)
class Hub:
    """A repository on the hub."""

    repo: str
    """`owner/name`; or a folder of one's own, written with a leading `/`, `./` or `~/`."""
    kind: Kind = "model"
    revision: str | None = None
    """Commit hash. None: the study file or the lock file gives it, or a mirror serves the repository."""
    config: str | None = None
    """Named subset of a data set."""
    split: str | None = None
    file: str | None = None
    """One file, or a subfolder of a model repository."""
    sha256: str | None = None
    """Of `file`, where its publisher or an audit recorded it."""
    columns: tuple[tuple[str, str], ...] = ()
    """(our name, its name) where a data set calls a column something else: ("response", "output")."""
    gated: bool = False
    """Access must be requested. Without it the state is "no access", not a score of 0."""

    @property
    def local(self) -> bool:
        """Whether it is a folder of one's own."""
        return self.repo.startswith(("/", "./", "../", "~/"))


@dataclass(frozen=True, kw_only=True)
class Generator:
    """Rows made by a seeded function of `steps/nano`, in place of a published file."""

    name: str
    seed: int
    count: int
    options: tuple[tuple[str, str | int | float | bool], ...] = ()
