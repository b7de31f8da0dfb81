"""Preparation of a run: its rows as tokens, and whether it fits the machine.

In: a run, its base model and training set. Out: folders of tokens, made once, or an error with advice.
"""

from pathlib import Path

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.placement import Placement
from rsft_assets.specs.study import Study
from rsft_assets.specs.training import Run
from rsft_assets.steps.checkpoints.training.estimate import Estimate, check, fitting
from rsft_assets.steps.checkpoints.training.text import Tokens, collect, describe, key_of, training_rows
from rsft_assets.steps.processes.events import say_note
from rsft_assets.steps.records.columns import EXAMPLES_FILE, HELD_OUT_FILE
from rsft_assets.steps.records.store import Output
from rsft_assets.steps.records.tokenizers import load_tokenizer


def tokenise(study: Study, run: Run, base: Output, dataset: Output, folder: Path) -> tuple[Path, Path | None]:
    """The training set and its held-out rows under this model's tokenizer; says what the length limit cuts."""
    key = key_of(base=base.digest, dataset=dataset.digest, limit=run.max_length)
    files = {EXAMPLES_FILE: folder / f"tokens-{key}", HELD_OUT_FILE: folder / f"held-out-{key}"}
    wanted = {name: place for name, place in files.items() if dataset.has(name)}
    if not all(place.is_dir() for place in wanted.values()):
        tokenizer = load_tokenizer(base.folder, remote_code=study.models[run.model].remote_code)
        for name, place in wanted.items():
            collect(training_rows(dataset.file(name), tokenizer), run.max_length).save(place)
    tokens = Tokens.load(files[EXAMPLES_FILE])
    declared = study.datasets[run.dataset].rows
    if len(tokens) != declared:
        raise StepError(
            f"datasets/{run.dataset} has {len(tokens)} rows and its spec says {declared}, so the steps of "
            f"{run.name} would not be those of the grid; build it again, or correct `rows`"
        )
    say_note(describe(tokens, run.dataset, run.max_length))
    held_out = wanted.get(HELD_OUT_FILE)
    without = f"{run.dataset} has no held-out rows, so checkpoints have no held-out loss"
    say_note(describe(Tokens.load(held_out), "held out", run.max_length) if held_out else without)
    for name, place in wanted.items():
        if not Tokens.load(place).trained.any():
            raise StepError(
                f"{run.name}: max_length {run.max_length} leaves no response token in any row of "
                f"datasets/{run.dataset} ({name}), so there is nothing to train on; raise max_length of the run"
            )
    return files[EXAMPLES_FILE], held_out


def check_fits(
    run: Run, base: Path, placement: Placement, device: str, tokens: Path, missing: list[int], home: Path
) -> float:
    """The share of layers to compute again; a `StepError` with advice where memory or disk cannot hold the training."""
    longest = int(Tokens.load(tokens).lengths.max())

    def cost_of(placement: Placement) -> Estimate:
        return fitting(base, run.schedule.precision, placement, device, longest=longest, kept=len(missing))

    return check(cost_of, placement, device, home, f"training {run.name}").recompute
