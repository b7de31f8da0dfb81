"""Adopting published checkpoints: a folder `step<N>` of a pinned repository in, a checkpoint's output out.

Nothing is trained and no code of the repository runs. `stats` states where curves, and the rows that were read, are not
published.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rsft_assets.specs.errors import NoAccess, StepError
from rsft_assets.specs.hub import Hub
from rsft_assets.specs.lineage import checkpoint_ref
from rsft_assets.specs.study import Study
from rsft_assets.specs.training import Run
from rsft_assets.steps.checkpoints.training.checkpoints import CURVES, SEEN, link_model
from rsft_assets.steps.checkpoints.training.models import parameters_of
from rsft_assets.steps.processes.events import Progress
from rsft_assets.steps.records.hub import model_folder, where_from
from rsft_assets.steps.records.store import Build, Output, Store
from rsft_assets.steps.records.tokenizers import allow_remote_code

NOT_AVAILABLE = "not available: its authors published the weights alone"


def adopt_checkpoints(study: Study, store: Store, run: Run, steps: Sequence[int], *, force: bool) -> list[Output]:
    """The checkpoints of these steps, from where the run's spec says they are published."""
    assert run.published is not None
    allow_remote_code(study.models[run.model])
    progress = Progress(f"adopting {run.name}", len(steps), "checkpoints")
    outputs, problems = [], []
    for step in steps:
        try:
            with store.build(study, checkpoint_ref(run, step), force=force) as build:
                if build.finished is None:
                    _adopt(build, study, run, _folder_of(run.published, step), step)
        except NoAccess as error:
            # Adopt the other steps even if one is not published.
            problems.append((step, error))
            continue
        outputs.append(build.output)
        progress.step(note=f"step {step}")
    if problems:
        missing = ", ".join(str(step) for step, _ in problems)
        raise StepError(
            f"{run.name}: step {missing} cannot be adopted from {where_from(run.published)}: {problems[0][1]}. "
            "Ask for the steps that are published, complete the mirror, or train this run: take it out of [adopt] "
            "in the study file"
        )
    return outputs


def _folder_of(published: Hub, step: int) -> Hub:
    folder = f"step{step}"
    return replace(published, file=f"{published.file}/{folder}" if published.file else folder)


def _adopt(build: Build, study: Study, run: Run, hub: Hub, step: int) -> None:
    try:
        source = model_folder(hub)
    except NoAccess:
        with contextlib.suppress(OSError):
            build.folder.rmdir()
        raise
    files = link_model(source, build.folder)
    expected, actual = study.models[run.model].parameters, parameters_of(source)
    if not 0.5 < actual / expected < 2:
        raise StepError(
            f"{source} holds {actual:,} parameters, but {run.model} has {expected:,}: this is another model's "
            "checkpoint; correct `repo` under [adopt] in the study file"
        )
    build.origin = "adopted"
    build.adopted_from = {"repo": hub.repo, "revision": hub.revision, "file": hub.file, "from": where_from(hub)}
    build.publish(stats=_stats(step, actual, files))


def _stats(step: int, parameters: int, files: Sequence[str]) -> dict[str, Any]:
    missing = {name: NOT_AVAILABLE for file, name in ((CURVES, "curves"), (SEEN, "rows_seen")) if file not in files}
    return {"step": step, "parameters": parameters, "files": len(files), **missing}
