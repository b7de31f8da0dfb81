"""One training as every process of it needs to know it, handed over through a file."""

import dataclasses
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.placement import Placement
from rsft_assets.specs.study import Study
from rsft_assets.steps.records.provenance import command

JOB_FILE = "job.pickle"
MEETING_POINT = ".meeting"
"""Where the processes of a training find each other."""


class OutOfMemory(StepError):
    """A GPU's memory did not suffice, and would have for more recomputation."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to train, from where, how far."""

    study: Study
    home: Path
    ref: Ref
    """The last checkpoint to reach, or the base model to make."""
    folder: Path
    """Of the rolling state, the tokens and this job."""
    tokens: Path
    held_out: Path | None = None
    base: Path
    """Folder of the model to start from."""
    target: int
    publish: tuple[int, ...]
    """Kept steps that have no checkpoint yet."""
    start: int
    """Step of the state to resume from; 0 starts over."""
    belongs_to: dict[str, Any]
    placement: Placement
    dataset: Path | None = None
    """The training set's file, for the ids of its rows."""
    forced: tuple[int, ...] = ()
    """Steps to publish anew although they exist."""
    out: Path | None = None
    """Where a pretrained model is written."""
    recompute: float = 0.0
    """Share of layers whose insides are computed again in the backward pass."""
    made_by: dict[str, Any] = dataclasses.field(default_factory=dict)
    command: str = dataclasses.field(default_factory=command)
    """Of the step, for the records of what its processes publish."""

    def write(self) -> Path:
        """Whole at once: processes may wait for it."""
        path = self.folder / JOB_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(".writing")
        aside.write_bytes(pickle.dumps(self))
        aside.rename(path)
        return path

    @staticmethod
    def read(path: Path) -> "Job":
        job = pickle.loads(path.read_bytes())
        assert isinstance(job, Job)
        return job
