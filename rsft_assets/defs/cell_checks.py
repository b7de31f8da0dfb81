"""Asset checks of single checkpoints and scores: each partition has a result of its own, recorded with the output.

Dagster's own results have the partition of their run, and none in a run over a range; so the op logs them itself.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import dagster as dg

from rsft_assets.defs.dagster_private import AssetCheckEvaluationTargetMaterializationData
from rsft_assets.defs.partitions import dagster_key, partitions_definition
from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.study import Study
from rsft_assets.steps.records.rows import read_rows
from rsft_assets.steps.records.store import Output

_MOST_TRUNCATED = 0.1
_MOST_UNDECIDED = 0.02
_MOST_CUT_ROWS = 0.05
_MOST_LOSS_ABOVE_LOWEST = 0.1
_HALF = 0.5


@dataclass(frozen=True)
class Finding:
    """What a check found."""

    passed: bool
    words: str
    blocks: bool = False
    """Going on from here wastes money: the run ends, and nothing downstream is made."""


@dataclass(frozen=True)
class CellCheck:
    """One check of every partition of a stage."""

    stage: str
    about: str
    find: Callable[[Output], Finding | None]
    """None where there is nothing to judge: the base model, a checkpoint that was trained elsewhere, no number."""


def _end_token(checkpoint: Output) -> Finding | None:
    rows = checkpoint.stats.get("set_rows")
    if not rows:
        return None
    cut = checkpoint.stats["set_cut_rows"]
    message, blocks = f"{cut:,} of {rows:,} training rows were cut before their end token", cut > _HALF * rows
    if blocks:
        message += (
            ". Its answers would run up to the token limit; raise max_length of the run, or train on shorter rows"
        )
    return Finding(cut <= _MOST_CUT_ROWS * rows, message, blocks)


def _held_out_loss(checkpoint: Output) -> Finding | None:
    loss = checkpoint.stats.get("held_out_loss")
    if loss is None:
        return None
    curve = read_rows(checkpoint.file("curves.parquet"), ["step", "held_out_loss"])
    lowest, step = min((row["held_out_loss"], row["step"]) for row in curve if row["held_out_loss"] is not None)
    message = f"{loss:.4f}, lowest so far {lowest:.4f} at step {step}"
    return Finding(loss <= (1 + _MOST_LOSS_ABOVE_LOWEST) * lowest, message)


def _share(name: str, most: float, message: str) -> Callable[[Output], Finding | None]:
    def find(score: Output) -> Finding | None:
        samples = score.stats.get("samples")
        if not samples or score.stats.get("value") is None:
            return None
        count = score.stats[name]
        return Finding(
            count <= most * samples, f"{count:,} of {samples:,} answers ({100 * count / samples:.1f} %) {message}"
        )

    return find


CELL_CHECKS = {
    "end_token": CellCheck(
        "checkpoints",
        f"At most {100 * _MOST_CUT_ROWS:g} % of the training rows lost their end token. Where more than half did, "
        "the run ends before anything is scored.",
        _end_token,
    ),
    "held_out_loss": CellCheck(
        "checkpoints",
        f"Loss on held-out rows, at most {100 * _MOST_LOSS_ABOVE_LOWEST:g} % above the lowest of the run so far. A "
        "loss that is not finite ends the training, without a checkpoint.",
        _held_out_loss,
    ),
    "truncated": CellCheck(
        "scores",
        f"At most {100 * _MOST_TRUNCATED:g} % of the answers were cut at the token limit; such answers count as wrong.",
        _share("truncated", _MOST_TRUNCATED, "were cut at the token limit"),
    ),
    "undecided": CellCheck(
        "scores",
        f"At most {100 * _MOST_UNDECIDED:g} % of the answers could not be graded.",
        _share("undecided", _MOST_UNDECIDED, "could not be graded"),
    ),
}


def cell_check_specs(study: Study, asset: str) -> list[dg.AssetCheckSpec]:
    """The checks of one asset."""
    stage = Ref(asset).stage
    with warnings.catch_warnings():
        # `partitions_def` of a check is a preview in Dagster 1.13.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return [
            dg.AssetCheckSpec(
                name=name,
                asset=asset.split("/"),
                description=check.about,
                blocking=name == "end_token",
                partitions_def=partitions_definition(study, asset),
            )
            for name, check in CELL_CHECKS.items()
            if check.stage == stage
        ]


def silent_check_outputs(context: dg.AssetExecutionContext) -> Iterator[dg.Output[None]]:
    """What later assets of the run wait for; the results are recorded by themselves."""
    for key in context.selected_asset_check_keys:
        if key.name in CELL_CHECKS:
            yield dg.Output(None, output_name=dg.AssetCheckSpec(key.name, asset=key.asset_key).get_python_identifier())


def cell_check_results(instance: dg.DagsterInstance, study: Study, output: Output) -> Iterator[dg.AssetCheckEvaluation]:
    """The results for one output whose materialization is recorded."""
    ref = output.manifest.ref
    checks = {name: check for name, check in CELL_CHECKS.items() if check.stage == ref.stage}
    if not checks:
        return
    key, partition = dg.AssetKey(ref.asset.split("/")), dagster_key(study, ref)
    wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition])
    # The UI leaves out a result that does not name the latest materialization of its partition.
    (record,) = instance.fetch_materializations(wanted, limit=1).records
    target = AssetCheckEvaluationTargetMaterializationData(
        storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
    )
    for name, check in checks.items():
        try:
            finding = check.find(output) or Finding(True, "nothing to check")
        except (StepError, OSError) as error:
            finding = Finding(False, str(error))
        yield dg.AssetCheckEvaluation(
            asset_key=key,
            check_name=name,
            passed=finding.passed,
            target_materialization_data=target,
            description=finding.words,
            severity=dg.AssetCheckSeverity.ERROR if finding.blocks else dg.AssetCheckSeverity.WARN,
            blocking=finding.blocks,
            partition=partition,
        )
