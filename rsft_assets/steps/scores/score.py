"""Score checkpoints: every selected benchmark of a checkpoint generated together, stored, then graded twice.

    python -m rsft_assets.steps.scores.score scores/nano-300k/nano-dot scores/nano-300k/nano-math-test \\
        --partition 'RUN|0' --partition 'RUN|10'

Comes in: a checkpoint and locked items. Goes out: graded.parquet (a row per item, sample, grader and metric) and
scores.parquet. One engine is started for the whole list; a model made for CPUs has one on each core, with a
share of the checkpoints. Completions have a store of their own (`completions.py`), so `--force` grades again and does
not generate again. What fails is named at the end; the rest is done.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import as_completed
from dataclasses import replace

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.placement import Placement, load_placement
from rsft_assets.specs.study import Study
from rsft_assets.steps.engines.opening import engine_kind
from rsft_assets.steps.processes import hardware
from rsft_assets.steps.records.side_by_side import step_pool
from rsft_assets.steps.records.stage import run_stage_at_once
from rsft_assets.steps.records.store import Output, Store
from rsft_assets.steps.scores.scoring import score_checkpoints


def score(study: Study, store: Store, refs: Iterable[Ref], *, force: bool = False) -> list[Output]:
    """Score every ref; raises one `StepError` at the end that names each that failed."""
    done: list[Output] = []
    failed: list[str] = []
    by_model: dict[str, dict[str, list[Ref]]] = {}
    for ref in refs:
        if not ref.partition:
            failed.append(f"{ref}: name a partition, as in --partition 'RUN|640'")
            continue
        by_model.setdefault(ref.name, {}).setdefault(ref.partition, []).append(ref)
    for name, partitions in by_model.items():
        placement = load_placement(name)
        checkpoints = sorted(partitions.values(), key=lambda refs: (refs[0].run, refs[0].step))
        shares = min(len(checkpoints), processes_for(placement, needs_gpu=study.get("models", name).runs_on_gpu))
        if shares > 1:
            result = _side_by_side(study, store, checkpoints, placement, shares, force=force)
        else:
            result = score_checkpoints(study, store, checkpoints, placement, force=force)
        done += result[0]
        failed += result[1]
    if failed:
        raise StepError(f"{len(failed)} failed, {len(done)} done:\n" + "\n".join(failed))
    return done


def processes_for(placement: Placement, *, needs_gpu: bool) -> int:
    """Processes that score checkpoints beside each other; engines that look after their own devices need one."""
    machine = hardware.this_machine()
    own_devices = placement.device != "cpu" and machine.gpus
    if own_devices or placement.engines > 1 or engine_kind(placement) != "transformers":
        return 1
    return hardware.how_many_at_once(placement, 1, machine, needs_gpu=needs_gpu)


def _side_by_side(
    study: Study, store: Store, checkpoints: Sequence[list[Ref]], placement: Placement, shares: int, *, force: bool
) -> tuple[list[Output], list[str]]:
    # A checkpoint's texts are drawn by one process alone, each request with a seed of its own, so that how many
    # processes there are does not enter them.
    mine = [checkpoints[number::shares] for number in range(shares)]
    each = replace(placement, workers=max(1, placement.workers // shares))
    done: list[Output] = []
    failed: list[str] = []
    with step_pool(shares, "a scoring process died; finished scores are kept, run it again") as pool:
        futures = [pool.submit(score_checkpoints, study, store, share, each, force=force) for share in mine]
        for future in as_completed(futures):
            result = future.result()
            done += result[0]
            failed += result[1]
    return done, failed


if __name__ == "__main__":
    run_stage_at_once(score, __doc__)
