"""What is left to do of the refs that were asked for; reads manifests, changes nothing."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.fingerprint import SHORT
from rsft_assets.specs.judges import ROLES
from rsft_assets.specs.lineage import TABLE_OF, Ref, checkpoint_ref, inputs_of
from rsft_assets.specs.study import Study
from rsft_assets.specs.training import Run
from rsft_assets.steps.records.folders import RESUME
from rsft_assets.steps.records.identity import Identity
from rsft_assets.steps.records.manifest import InputRecord
from rsft_assets.steps.records.store import Output, Store
from rsft_assets.steps.scores.grading.judges import missing_judges


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


class Outstanding:
    """Answers for one selection; every manifest is read once."""

    def __init__(self, study: Study, store: Store, asked: Iterable[Ref], *, force: bool = False) -> None:
        self.study, self.store, self.force = study, store, force
        self._asked = set(asked)
        self._outputs: dict[Ref, Output | None] = {}
        self._finished: dict[Ref, bool] = {}

    def left(self, refs: Iterable[Ref]) -> list[Ref]:
        """Those of `refs` that would be made."""
        return [ref for ref in refs if not self.finished(ref)]

    def current(self, ref: Ref) -> Output | None:
        """The output in use; None where there is none, or it is damaged or cannot be read."""
        if ref not in self._outputs:
            try:
                self._outputs[ref] = self.store.current(ref)
            except (StepError, OSError):
                self._outputs[ref] = None
        return self._outputs[ref]

    def finished(self, ref: Ref) -> bool:
        """Whether `rsft materialize` would keep what there is."""
        if ref not in self._finished:
            self._finished[ref] = not (self.force and ref in self._asked) and self._kept(ref)
        return self._finished[ref]

    def _kept(self, ref: Ref) -> bool:
        output = self.current(ref)
        if output is None or self._judged_now(ref, output):
            return False
        if ref.stage not in TABLE_OF:
            return True
        inputs = []
        for upstream in inputs_of(self.study, ref):
            found = self.current(upstream)
            if found is None or (upstream in self._asked and not self.finished(upstream)):
                return False
            inputs.append(InputRecord(upstream.asset, upstream.partition, found.digest, ""))
        wanted = Identity(ref, self.store.spec(self.study, ref), tuple(inputs)).fingerprint
        return output.manifest.fingerprint == wanted or (self.store.slot(ref) / wanted[:SHORT]).is_dir()

    def _judged_now(self, ref: Ref, output: Output) -> bool:
        """Whether a score that had no judge would get one now."""
        return (
            output.stats.get("state") == "not-run"
            and bool(roles := roles_of(self.study.benchmarks[ref.benchmark].task))
            and not missing_judges(roles[:1])
        )

    def trainings(self, refs: Iterable[Ref]) -> list[Training]:
        """The training that outstanding checkpoints ask for, a run at a time; step 0 and adopted ones need none."""
        targets: dict[str, int] = {}
        for ref in refs:
            if self.study.runs[ref.run].adopt:
                continue
            targets[ref.run] = max(ref.step, targets.get(ref.run, 0))
        return [self._training(self.study.runs[run], target) for run, target in targets.items() if target]

    def _training(self, run: Run, target: int) -> Training:
        steps = [step for step in self.study.steps_of(run) if 0 < step <= target]
        missing = [step for step in steps if not self.finished(checkpoint_ref(run, step))]
        # As the trainer resumes: a saved state helps where no missing checkpoint lies before it.
        saved = [] if self.force else [step for step in self._saved_steps(run) if step <= missing[0]]
        return Training(run, max(saved, default=0), target, len(missing))

    def _saved_steps(self, run: Run) -> list[int]:
        folder = self.store.slot(Ref(f"checkpoints/{run.model}", run.name)) / RESUME
        return [step for path in folder.glob("state-*/state.json") if (step := _step_of(path)) is not None]


def _step_of(path: Path) -> int | None:
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["step"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def roles_of(task: str) -> list[str]:
    """Judges that a task needs, the optional ones only where the user named them."""
    return [name for name, role in ROLES.get(task, {}).items() if role.required or not missing_judges([name])]
