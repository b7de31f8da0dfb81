"""A small base model from scratch: documents of a mixture, the nano tokenizer, the same trainer.

In: a `Pretraining` spec. Out: the model's files in the build's folder, and its statistics, held-out loss among them.
"""

import itertools
import logging
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.fingerprint import SHORT
from rsft_assets.specs.models import Pretraining
from rsft_assets.specs.placement import Placement
from rsft_assets.specs.study import Study
from rsft_assets.steps.base_models.gate import refuse_below
from rsft_assets.steps.base_models.mixture import documents, texts_digest
from rsft_assets.steps.base_models.new_model import new_qwen3
from rsft_assets.steps.base_models.probes import measure
from rsft_assets.steps.base_models.tokenizer import build_tokenizer
from rsft_assets.steps.checkpoints.training.cards import repeats
from rsft_assets.steps.checkpoints.training.checkpoints import CURVES
from rsft_assets.steps.checkpoints.training.engine import device_of
from rsft_assets.steps.checkpoints.training.job import Job
from rsft_assets.steps.checkpoints.training.launch import trainer
from rsft_assets.steps.checkpoints.training.models import parameters_of
from rsft_assets.steps.checkpoints.training.state import saved_states
from rsft_assets.steps.checkpoints.training.text import Tokens, collect, document_rows, key_of
from rsft_assets.steps.processes.hardware import cores, gpus
from rsft_assets.steps.records.folders import RESUME, discard
from rsft_assets.steps.records.store import Build
from rsft_assets.steps.records.tokenizers import load_tokenizer

log = logging.getLogger(__name__)
MICRO_TOKENS = 4_096
"""Larger micro-batches leave the CPU's cache."""


def pretrain(study: Study, build: Build, spec: Pretraining, placement: Placement, *, force: bool) -> dict[str, Any]:
    """Train from scratch, or resume a killed try. The model is written to the build's folder; the resume state stays
    until `forget`.
    """
    placement, folder = _own(placement), _resume_folder(build)
    build.made_by["repeatable"] = repeats(placement, device_of(placement))
    ref, out, identity = build.identity.ref, build.folder, build.identity.fingerprint
    belongs_to = {"identity": identity}
    states = saved_states(folder)
    if force or any(state.belongs_to != belongs_to for state in states):
        forget(build)
        states = []
    start = next((state.step for state in states if state.check() is None), 0)
    with trainer(folder, placement) as train_to_the_end:
        base = _random_model(spec, folder / f"start-{identity[:SHORT]}")
        tokens, held_out = _tokens(spec, base, folder)
        job = Job(
            study=study,
            home=build.store.home,
            ref=ref,
            folder=folder,
            tokens=tokens,
            held_out=held_out,
            base=base,
            target=spec.steps,
            publish=(spec.steps,),
            start=start,
            belongs_to=belongs_to,
            placement=placement,
            recompute=placement.recompute_share or 0.0,
            out=out,
        )
        train_to_the_end(job)
    levels = measure(out, placement)
    log.info("%s: %s", ref, ", ".join(f"{name} {level.share:.0%}" for name, level in levels.items()))
    refuse_below(levels, spec.gate, ref.name)
    stats = _stats(out, Tokens.load(tokens))
    stats["texts_digest"] = texts_digest(spec.mixture, spec.seed)
    stats["skills"] = {name: asdict(level) for name, level in levels.items()}
    return stats


def _resume_folder(build: Build) -> Path:
    return build.store.slot(build.identity.ref) / RESUME


def forget(build: Build) -> None:
    """Delete the resume state, once the model is published or to start over."""
    folder = _resume_folder(build)
    for part in filter(Path.is_dir, folder.glob("*")):
        discard(part)
    shutil.rmtree(folder, ignore_errors=True)


def _own(placement: Placement) -> Placement:
    """Two processes, not two threads, on two cores: threads of a small model mostly wait for each other."""
    on_cpu = placement.device == "cpu" or not gpus()
    processes = max(placement.processes, min(2, cores())) if on_cpu else placement.processes
    tokens = min(placement.micro_batch_tokens, MICRO_TOKENS) if on_cpu else placement.micro_batch_tokens
    return replace(placement, processes=processes, micro_batch_tokens=tokens)


def _random_model(spec: Pretraining, folder: Path) -> Path:
    """The untrained model and its tokenizer, from the spec's seed."""
    if (folder / "config.json").is_file():
        return folder
    aside = folder.with_name(f"{folder.name}.writing")
    shutil.rmtree(aside, ignore_errors=True)
    tokenizer = build_tokenizer(aside)
    new_qwen3(spec, vocabulary=len(tokenizer), end=tokenizer.eos_token_id).save_pretrained(aside)
    aside.rename(folder)
    return folder


def _tokens(spec: Pretraining, base: Path, folder: Path) -> tuple[Path, Path]:
    """All documents of the training, and some of another seed that it never sees."""
    wanted = spec.steps * spec.batch_tokens
    held_out = {"held_out_documents": spec.held_out_documents, "held_out_seed": spec.held_out_seed}
    key = key_of(mixture=spec.mixture, seed=spec.seed, tokens=wanted, context=spec.context, **held_out)
    places = folder / f"tokens-{key}", folder / f"held-out-{key}"
    if not all(place.is_dir() for place in places):
        tokenizer = load_tokenizer(base)
        rows = document_rows(documents(spec.mixture, spec.seed), tokenizer)
        collect(_until(rows, wanted, spec.context), spec.context).save(places[0])
        other = itertools.islice(documents(spec.mixture, spec.held_out_seed), spec.held_out_documents)
        collect(document_rows(other, tokenizer), spec.context).save(places[1])
    return places


def _until(rows: Any, tokens: int, context: int) -> Any:
    """Rows until they hold that many tokens, plus one document."""
    total = 0
    for row in rows:
        yield row
        total += min(len(row[0]), context)
        if total > tokens:
            return


def _stats(out: Path, tokens: Tokens) -> dict[str, Any]:
    last = pq.read_table(out / CURVES).to_pylist()[-1]
    if last["held_out_loss"] is None:
        raise StepError(f"{out}: the last step has no held-out loss; run it again with --force")
    return {
        "parameters": parameters_of(out),
        "loss": last["loss"],
        "held_out_loss": last["held_out_loss"],
        "trained_tokens": int(tokens.trained.sum()),
        "documents": len(tokens),
    }
