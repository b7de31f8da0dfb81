"""checkpoints/<model>[RUN|STEP]: train a run, publishing its kept steps on the way.

    python -m rsft_assets.steps.checkpoints.train checkpoints/nano-300k --partition 'RUN|40'

In: the base model and the training set, or, for a run that says `adopt`, its published checkpoints. Out:
for each kept step up to the one asked for, a model in Hugging Face's format, with `curves.parquet` and
`seen.parquet` where it was trained here. Step 0 is the base model itself. A killed training resumes from its
rolling state, in `checkpoints/<model>/<run>/.resume/`; `--force` starts over.
"""

import contextlib
import logging
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsft_assets.specs.errors import SpecError, StepError
from rsft_assets.specs.lineage import Ref, checkpoint_ref, spec_of
from rsft_assets.specs.placement import Placement, load_placement
from rsft_assets.specs.study import Study
from rsft_assets.specs.training import Run
from rsft_assets.steps.checkpoints.side_by_side import side_by_side
from rsft_assets.steps.checkpoints.training.job import OutOfMemory
from rsft_assets.steps.checkpoints.training.launch import (
    RunSlot,
    dismiss_followers,
    follow,
    is_follower,
    trainer,
    under_torchrun,
)
from rsft_assets.steps.processes.events import say_skipped
from rsft_assets.steps.processes.hardware import how_many_at_once, refuse_without_gpu, this_machine
from rsft_assets.steps.records.folders import RESUME, discard
from rsft_assets.steps.records.locks import exclusive
from rsft_assets.steps.records.stage import run_stage_at_once
from rsft_assets.steps.records.store import Output, Store
from rsft_assets.steps.records.tokenizers import allow_remote_code

if TYPE_CHECKING:
    from rsft_assets.steps.checkpoints.training.job import Job

log = logging.getLogger(__name__)
_NOT_MODEL = ("curves.parquet",)
"""Files of a base model's output that are about its making."""


def train(
    study: Study, store: Store, refs: Sequence[Ref], *, force: bool = False, placement: Placement | None = None
) -> list[Output]:
    """Every checkpoint asked for; each run is trained once, to the largest of its steps, several side by side."""
    if is_follower():
        follow(placement or load_placement(refs[0].name), store.home)
        return []
    store.check_writable()
    asked: dict[str, list[int]] = {}
    for ref in refs:
        if _reached(study, ref):
            asked.setdefault(ref.run, []).append(ref.step)
    chosen = placement or load_placement(refs[0].name)
    if under_torchrun():
        chosen = replace(chosen, processes=int(os.environ["WORLD_SIZE"]))

    machine = this_machine()

    def train_one(name: str, slot: RunSlot | None = None) -> list[Output]:
        run, steps = study.get("runs", name), sorted(set(asked[name]))
        if run.adopt:
            return _adopt_run(study, store, run, steps, force=force)
        refuse_without_gpu(study, checkpoint_ref(run, steps[-1]), chosen, machine)
        try:
            return _train_run(study, store, run, steps, chosen, force=force, slot=slot)
        except OutOfMemory as error:
            if under_torchrun():
                raise
            log.warning("%s. Training goes on with all layers computed again in the backward pass", error)
        return _train_run(study, store, run, steps, replace(chosen, recompute_share=1.0), force=force, slot=slot)

    needs_gpu = study.get("models", refs[0].name).runs_on_gpu
    at_once = min(len(asked), how_many_at_once(chosen, chosen.processes, machine, needs_gpu=needs_gpu))
    if at_once > 1 and not under_torchrun():
        # The longest first, so that all places end at about the same time.
        rows = {name: max(steps) * study.runs[name].schedule.batch_size for name, steps in asked.items()}
        done = side_by_side(sorted(asked, key=lambda name: -rows[name]), at_once, chosen, train_one)
    else:
        done = [output for name in asked for output in train_one(name)]
    dismiss_followers(chosen, store.home)
    return done


def _reached(study: Study, ref: Ref) -> bool:
    """Whether the run has this step; one past its end is skipped, another is a mistake."""
    steps = study.steps_of(study.get("runs", ref.run))
    if ref.step > steps[-1]:
        say_skipped(ref, f"{ref.run} ends at step {steps[-1]}")
    elif ref.step not in steps:
        raise SpecError(f"{ref}: step {ref.step} is not kept; kept are {', '.join(map(str, steps))}")
    return ref.step in steps


def _adopt_run(study: Study, store: Store, run: Run, steps: list[int], *, force: bool) -> list[Output]:
    from rsft_assets.steps.checkpoints.adopted import adopt_checkpoints

    outputs = []
    if 0 in steps:
        _publish_base(study, store, run, force=force)
        outputs.append(store.require(checkpoint_ref(run, 0)))
    return outputs + adopt_checkpoints(study, store, run, [step for step in steps if step], force=force)


def _train_run(
    study: Study,
    store: Store,
    run: Run,
    steps: list[int],
    placement: Placement,
    *,
    force: bool,
    slot: RunSlot | None = None,
) -> list[Output]:
    folder = store.slot(Ref(f"checkpoints/{run.model}", run.name)) / RESUME
    target = steps[-1]
    with exclusive(folder / ".lock", f"the training of {run.name}") as waited:
        force = force and not waited
        _publish_base(study, store, run, force=force and 0 in steps)
        missing = [
            step
            for step in study.steps_of(run)
            if 0 < step <= target and ((force and step in steps) or not _published(study, store, run, step))
        ]
        if missing:
            with trainer(folder, placement, slot) as train_to_the_end:
                # Libraries import modules at first use, which must not happen in two threads at once.
                with slot.preparing if slot else contextlib.nullcontext():
                    job = _job(study, store, run, missing, placement, folder, forced=steps if force else [])
                train_to_the_end(job)
            if job.target == study.steps_of(run)[-1]:
                _forget_all(job)
    return [store.require(checkpoint_ref(run, step)) for step in steps]


def _published(study: Study, store: Store, run: Run, step: int) -> bool:
    return store.keep(store.identity(study, checkpoint_ref(run, step))) is not None


def _publish_base(study: Study, store: Store, run: Run, *, force: bool) -> None:
    """Step 0: the base model's own files."""
    from rsft_assets.steps.checkpoints.training.checkpoints import link_files

    base = Ref(f"base_models/{run.model}")
    with store.build(study, checkpoint_ref(run, 0), force=force) as build:
        if build.finished is not None:
            return
        output = build.input(base.asset, check=False)
        names = [record.path for record in output.manifest.files if record.path not in _NOT_MODEL]
        link_files(output.folder, names, build.folder)
        # After a link was made, the file system reports a change, and the content would be read a second time.
        output.verified()
        build.origin, build.adopted_from = output.manifest.origin, output.manifest.adopted_from
        build.publish(stats={"step": 0}, known=output.shared_with(build.folder))


def _job(
    study: Study,
    store: Store,
    run: Run,
    missing: list[int],
    placement: Placement,
    folder: Path,
    *,
    forced: Iterable[int],
) -> "Job":
    from rsft_assets.steps.checkpoints.preparation import check_fits, tokenise
    from rsft_assets.steps.checkpoints.training.cards import repeats
    from rsft_assets.steps.checkpoints.training.engine import device_of
    from rsft_assets.steps.checkpoints.training.job import Job

    model = study.models[run.model]
    allow_remote_code(model)
    device = device_of(placement, needs_gpu=model.runs_on_gpu)
    base = store.require(Ref(f"base_models/{run.model}")).verified()
    dataset = store.require(Ref(f"datasets/{run.dataset}")).verified()
    if forced:
        _forget(folder)
    belongs_to = _belongs_to(study, run, base, dataset)
    start = _resume_step(folder, run, belongs_to, missing[0])
    tokens, held_out = tokenise(study, run, base, dataset, folder)
    recompute = check_fits(run, base.folder, placement, device, tokens, missing, store.home)
    log.info("%s: training from step %d to %d", run.name, start, missing[-1])
    return Job(
        study=study,
        home=store.home,
        ref=checkpoint_ref(run, missing[-1]),
        folder=folder,
        tokens=tokens,
        held_out=held_out,
        base=base.folder,
        target=missing[-1],
        publish=tuple(missing),
        start=start,
        belongs_to=belongs_to,
        placement=placement,
        recompute=recompute,
        dataset=dataset.file("examples.parquet"),
        forced=tuple(forced),
        made_by={
            "seed": run.seed,
            "placement": placement.recorded(),
            "device": device,
            "repeatable": repeats(placement, device),
        },
    )


def _forget_all(job: "Job") -> None:
    """Delete the resume state, several times the size of the weights, once nothing is left to train."""
    _forget(job.folder)
    for place in filter(None, (job.tokens, job.held_out)):
        discard(place)


def _belongs_to(study: Study, run: Run, base: Output, dataset: Output) -> dict[str, Any]:
    """What a resume state must agree with: the spec without its step, and the content of the inputs."""
    spec = {key: value for key, value in spec_of(study, checkpoint_ref(run, 1)).items() if key != "step"}
    return {"spec": spec, f"base_models/{run.model}": base.digest, f"datasets/{run.dataset}": dataset.digest}


def _resume_step(folder: Path, run: Run, belongs_to: dict[str, Any], first_missing: int) -> int:
    """Step of the state to go on from; 0 where there is none that leads to the first missing step."""
    from rsft_assets.steps.checkpoints.training.state import remove_unfinished, saved_states

    remove_unfinished(folder)
    for state in saved_states(folder):
        changed = [key for key in belongs_to if state.belongs_to.get(key) != belongs_to[key]]
        if changed:
            differences = ", ".join(
                f"{key} (was {str(state.belongs_to.get(key))[:12]}…, is {str(belongs_to[key])[:12]}…)"
                if key != "spec"
                else f"its spec ({_changed_fields(state.belongs_to.get(key) or {}, belongs_to[key])})"
                for key in changed
            )
            raise StepError(
                f"{run.name}: the state saved at step {state.step} belongs to another training: {differences} changed. "
                f"Put it back as it was, or start over with --force (or by deleting {state.folder})"
            )
    for state in saved_states(folder):
        if state.step > first_missing:
            continue
        if (problem := state.check()) is None:
            return state.step
        log.warning("%s; it is not used", problem)
        shutil.rmtree(state.folder, ignore_errors=True)
    return 0


def _changed_fields(old: dict[str, Any], new: dict[str, Any]) -> str:
    return ", ".join(key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key))


def _forget(folder: Path) -> None:
    for path in (*folder.glob("state-*"), *folder.glob(".writing-*")):
        shutil.rmtree(path, ignore_errors=True)


if __name__ == "__main__":
    run_stage_at_once(train, __doc__)
