"""One training process of as many as the placement says; `launch` starts them.

In: a job. Out: checkpoints published by the first process (or a pretrained model in the job's `out`),
the rolling state, and `error-<rank>.json` where it failed.
"""

import gc
import time
from pathlib import Path
from typing import Any

import torch

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import checkpoint_ref
from rsft_assets.specs.models import Pretraining
from rsft_assets.specs.placement import Placement
from rsft_assets.specs.training import Optimisation, Run
from rsft_assets.steps.checkpoints.training import state as states
from rsft_assets.steps.checkpoints.training.attention import install
from rsft_assets.steps.checkpoints.training.cards import failures_named, set_determinism
from rsft_assets.steps.checkpoints.training.checkpoints import CURVES, SEEN, write_curves, write_seen
from rsft_assets.steps.checkpoints.training.engine import (
    SHARED_WEIGHTS,
    Session,
    device_of,
    dtype_of,
    join_processes,
    stage_of,
)
from rsft_assets.steps.checkpoints.training.estimate import Estimate, advice, fitting
from rsft_assets.steps.checkpoints.training.job import MEETING_POINT, Job, OutOfMemory
from rsft_assets.steps.checkpoints.training.layers import compile_for, compile_layers, compiles, recompute, tell
from rsft_assets.steps.checkpoints.training.loop import Bounds, Position, train
from rsft_assets.steps.checkpoints.training.loss import Trainee
from rsft_assets.steps.checkpoints.training.models import fits_beside, load_model, write_model
from rsft_assets.steps.checkpoints.training.text import Tokens
from rsft_assets.steps.checkpoints.training.work import FineTuning, FromScratch, Work
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.records.tokenizers import load_tokenizer


def load_libraries() -> None:
    """What every training loads first, which takes seconds, whatever device its job is for."""
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: F401


def run_job(job: Job) -> None:
    """Train what the job says; every process of the training calls this."""
    quiet_transformers()
    torch.set_num_threads(job.placement.threads)
    device = device_of(job.placement)
    set_determinism(job.placement, device)
    join_processes(device, job.folder / MEETING_POINT)
    cause = ""
    try:
        with failures_named(device):
            _Training(job, device).go()
    except torch.OutOfMemoryError as error:
        cause = str(error).split(" GPU ")[0].rstrip(". ")
    # For the next training of this process; DeepSpeed's flat weights are let go of by a second pass only.
    gc.collect()
    gc.collect()
    if device != "cpu":
        torch.cuda.empty_cache()
    if cause:
        raise _out_of_memory(job, device, cause)


def _out_of_memory(job: Job, device: str, cause: str) -> StepError:
    longest = int(Tokens.load(job.tokens).lengths.max())
    precision, kept = optimisation_of(job).precision, len(job.publish)

    def cost_of(placement: Placement) -> Estimate:
        return fitting(job.base, precision, placement, device, longest=longest, kept=kept)

    more = job.placement.recompute_share is None and job.recompute < 1
    return (OutOfMemory if more else StepError)(
        f"training {job.ref}: {cause}, with {job.recompute:.0%} of the layers computed again in the backward pass; "
        f"the last saved state is kept. {advice(cost_of, job.placement, device)}"
    )


def quiet_transformers() -> None:
    """No bars of its own: a launcher reads lines."""
    import transformers.utils.logging as transformers_logging

    disable: Any = transformers_logging.disable_progress_bar
    disable()


class _Training:
    """A job's objects on this process."""

    def __init__(self, job: Job, device: str) -> None:
        self.job = job
        self.model_spec = job.study.models[job.ref.name]
        self.optimisation = optimisation_of(job)
        remote = self.model_spec.remote_code
        self.tokenizer = load_tokenizer(job.base, remote_code=remote)
        model = load_model(job.base, dtype_of(self.optimisation.precision), remote_code=remote)
        resumed = next((s for s in states.saved_states(job.folder) if s.step == job.start), None)
        if resumed is not None and stage_of(self.optimisation, job.placement) != SHARED_WEIGHTS:
            states.load_weights(model, resumed)
        packed = install(model)
        self.session = Session(model, self.optimisation, job.placement, device)
        self.compiled = compile_for(self.session, job.placement, packed=packed)
        self._recompute()
        self.position = Position()
        if resumed is not None:
            states.load_optimiser(self.session, resumed)
            self.position = Position(resumed.step, list(resumed.curves))
        self.work = _work(job)
        self.bounds = Bounds(
            target=job.target,
            kept=frozenset(job.publish),
            tried=_tried(job),
            budget=job.placement.micro_batch_tokens,
            packed=packed,
            folder=job.folder,
            belongs_to=job.belongs_to,
            base=self._base,
        )
        self.started = time.monotonic()

    def _recompute(self) -> None:
        placement, device, share = self.job.placement, self.session.device, self.job.recompute
        if compiles(placement, device, self.session.stage) and not self.compiled and placement.recompute_share is None:
            # The share was chosen for compiled layers, which keep less.
            share = 1.0
        message = recompute(self.session.engine.module, share)
        if share or device != "cpu":
            tell(self.session, message)

    def _base(self) -> Trainee | None:
        """The model that a run started from, where the weights are whole and it fits beside them."""
        if isinstance(self.work, FromScratch) or self.session.stage == SHARED_WEIGHTS:
            return None
        dtype = dtype_of(self.optimisation.precision)
        if not fits_beside(self.job.base, dtype, self.session.device):
            return None
        model = load_model(self.job.base, dtype, remote_code=self.model_spec.remote_code)
        install(model)
        model.rows_kernel = self.session.model.rows_kernel
        base = Trainee(model).to(self.session.device).eval()
        if self.compiled:
            compile_layers(base)
        return base

    def go(self) -> None:
        train(self.session, self.work, self.position, self.bounds, self.kept_step)

    def kept_step(self, step: int, curves: list[dict[str, Any]]) -> None:
        """Hand over the weights of one step; every process takes part."""
        declared = self.optimisation
        dtype = dtype_of(declared.weights if isinstance(declared, Pretraining) else declared.precision)
        weights = states.full_weights(self.session, dtype, masters=isinstance(declared, Pretraining))
        if self.session.rank == 0:
            if self.job.out is not None:
                self._write(self.job.out, weights, curves, step)
            else:
                self._publish(weights, curves, step)
        self.session.barrier()

    def _publish(self, weights: dict[str, torch.Tensor], curves: list[dict[str, Any]], step: int) -> None:
        job = self.job
        ref = checkpoint_ref(job.study.runs[job.ref.run], step)
        made_by = {**job.made_by, "attention": self.session.model.rows_kernel}
        with Store(job.home).build(job.study, ref, force=step in job.forced, **made_by) as build:
            if build.finished is None:
                self._write(build.folder, weights, curves, step)
                build.publish(stats=self._stats(curves, step))

    def _write(self, folder: Path, weights: dict[str, torch.Tensor], curves: list[dict[str, Any]], step: int) -> None:
        write_model(folder, self.session.model, weights, self.tokenizer)
        write_curves(folder / CURVES, curves)
        if isinstance(self.work, FineTuning) and self.job.dataset is not None:
            write_seen(folder / SEEN, self.work, self.job.dataset, step)

    def _stats(self, curves: list[dict[str, Any]], step: int) -> dict[str, Any]:
        last = curves[-1]
        return {
            "step": step,
            "epoch": last["epoch"],
            "loss": last["loss"],
            "grad_norm": last["grad_norm"],
            "held_out_loss": last["held_out_loss"],
            "trained_tokens": sum(entry["tokens"] for entry in curves),
            "train_seconds": round(sum(entry["seconds"] for entry in curves), 3),
            **self.session.meter.stats(curves),
            **{f"set_{name}": value for name, value in self.work.tokens.summary().items()},
        }


def optimisation_of(job: Job) -> Optimisation:
    """What a job's spec declares."""
    if job.ref.stage != "base_models":
        return job.study.runs[job.ref.run].schedule
    origin = job.study.models[job.ref.name].origin
    assert isinstance(origin, Pretraining)
    return origin


def _tried(job: Job) -> frozenset[int]:
    """All kept steps of a run, so that the curves do not depend on which of its checkpoints are missing."""
    return frozenset(job.publish if job.out is not None else job.study.steps_of(job.study.runs[job.ref.run]))


def _work(job: Job) -> Work:
    tokens = Tokens.load(job.tokens)
    held_out = Tokens.load(job.held_out) if job.held_out else None
    declared = optimisation_of(job)
    if isinstance(declared, Pretraining):
        return FromScratch(job.ref.name, declared, tokens, held_out)
    run: Run = job.study.runs[job.ref.run]
    return FineTuning(run, tokens, held_out)
