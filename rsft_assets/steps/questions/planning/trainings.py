"""The trainings that outstanding checkpoints ask for, and where each would resume."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rsft_assets.specs.lineage import Ref, checkpoint_ref
from rsft_assets.specs.training import Run
from rsft_assets.steps.questions.cell_state import States
from rsft_assets.steps.records.folders import RESUME


@dataclass(frozen=True)
class Training:
    """One run's part of a batch: it is trained once, to the largest of its steps."""

    run: Run
    start: int
    target: int
    kept: int
    """Checkpoints that will be written."""

    @property
    def rows(self) -> int:
        return (self.target - self.start) * self.run.schedule.batch_size


def trainings(states: States, refs: Iterable[Ref]) -> list[Training]:
    """A run at a time; step 0 and adopted checkpoints need none."""
    targets: dict[str, int] = {}
    for ref in refs:
        if not states.study.runs[ref.run].adopt:
            targets[ref.run] = max(ref.step, targets.get(ref.run, 0))
    return [_training(states, states.study.runs[run], target) for run, target in targets.items() if target]


def _training(states: States, run: Run, target: int) -> Training:
    steps = [step for step in states.study.steps_of(run) if 0 < step <= target]
    missing = [step for step in steps if not states.kept(checkpoint_ref(run, step))]
    # As the trainer resumes: a saved state helps where no missing checkpoint lies before it.
    folder = states.store.slot(Ref(f"checkpoints/{run.model}", run.name)) / RESUME
    saved = [] if states.force else [step for step in _saved_steps(folder) if step <= missing[0]]
    return Training(run, max(saved, default=0), target, len(missing))


def _saved_steps(folder: Path) -> Iterable[int]:
    for path in folder.glob("state-*/state.json"):
        try:
            yield int(json.loads(path.read_text(encoding="utf-8"))["step"])
        except (OSError, ValueError, KeyError, TypeError):
            continue  # the trainer will not use it either
