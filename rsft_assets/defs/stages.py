"""The file-backed assets, one Dagster definition per key of `specs.lineage`, one op per model's scores."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from pydantic import Field

from rsft_assets.defs.cell_checks import cell_check_specs
from rsft_assets.defs.checks import dataset_check_specs
from rsft_assets.defs.descriptions import describe
from rsft_assets.defs.jobs import score_when_ready
from rsft_assets.defs.materializing import materialize_stage
from rsft_assets.defs.partitions import partitions_definition
from rsft_assets.defs.placing import PlacementResource
from rsft_assets.defs.pool import GPU_POOL, USES_ACCELERATOR
from rsft_assets.defs.programs import program_of
from rsft_assets.defs.recording import column_schema
from rsft_assets.specs.lineage import Ref, asset_inputs, asset_keys
from rsft_assets.specs.study import Study
from rsft_assets.steps.records.code_version import code_of
from rsft_assets.steps.records.columns import KINDS

OWNERS = ["team:rsft"]
_KINDS = {
    "queries": {"parquet"},
    "responses": {"parquet", "vllm"},
    "verdicts": {"parquet", "mathverify"},
    "audits": {"mathverify"},
    "datasets": {"parquet"},
    "base_models": {"huggingface", "pytorch"},
    "checkpoints": {"huggingface", "deepspeed"},
    "benchmarks": {"parquet"},
    "scores": {"parquet", "vllm"},
}
_RECORDS_OF = {"datasets": "examples", "benchmarks": "items"}
"""Stage -> kind of its records, where the names differ."""


class StageConfig(dg.Config):
    """Launchpad settings of every stage; its placement is set under `resources`."""

    force: bool = Field(default=False, description="Make again even what is finished.")


def group_of(study: Study, asset: str) -> str:
    """One box per model in the graph, and one each for a study's data and benchmarks."""
    ref = Ref(asset)
    if ref.stage in ("base_models", "checkpoints", "scores"):
        return ref.name.replace("-", "_").replace(".", "_")
    table = {"queries": "sources", "datasets": "datasets", "benchmarks": "benchmarks"}.get(ref.stage, "pools")
    part = "benchmarks" if ref.stage == "benchmarks" else "data"
    return f"{study.member_of[(table, ref.name)]}_{part}"


def asset_spec(study: Study, asset: str) -> dg.AssetSpec:
    """The declaration of an asset: key, upstream, partitions, description, tags."""
    ref = Ref(asset)
    metadata: dict[str, Any] = {}
    records = _RECORDS_OF.get(ref.stage, ref.stage)
    if records in KINDS:
        metadata["dagster/column_schema"] = column_schema(records)
    return dg.AssetSpec(
        key=asset.split("/"),
        deps=[
            dg.AssetDep(key.split("/"), partition_mapping=_mapping(study, asset, key))
            for key in asset_inputs(study, asset)
        ],
        group_name=group_of(study, asset),
        description=describe(study, asset),
        kinds=_KINDS[ref.stage],
        owners=OWNERS,
        tags=_tags(study, asset),
        metadata=metadata,
        code_version=code_of(study, ref),
        partitions_def=partitions_definition(study, asset),
        automation_condition=score_when_ready() if ref.stage == "scores" else None,
        skippable=True,
    )


def _mapping(study: Study, asset: str, upstream: str) -> dg.PartitionMapping | None:
    """A set is built from every shard of its pool; everything else maps partition to partition."""
    if partitions_definition(study, upstream) is not None and partitions_definition(study, asset) is None:
        return dg.AllPartitionMapping()
    return None


def _tags(study: Study, asset: str) -> dict[str, str]:
    ref = Ref(asset)
    tags = {"stage": ref.stage}
    if ref.stage in ("base_models", "checkpoints", "scores"):
        tags |= {
            "model": ref.name,
            "family": study.models[ref.name].family,
            "study": study.member_of[("models", ref.name)],
        }
    if ref.stage == "scores":
        tags |= {"benchmark": ref.benchmark, "benchmark_group": study.benchmarks[ref.benchmark].group}
    if ref.stage == "benchmarks":
        tags["benchmark_group"] = study.benchmarks[ref.name].group
    return tags


def stage_assets(study: Study) -> list[dg.AssetsDefinition]:
    """All file-backed assets: one definition each, but one per model for its scores (one engine for all)."""
    together: dict[str, list[str]] = {}
    for asset in asset_keys(study):
        ref = Ref(asset)
        name = f"scores/{ref.name}" if ref.stage == "scores" else asset
        together.setdefault(name, []).append(asset)
    return [_definition(study, name, assets) for name, assets in together.items()]


def _definition(study: Study, name: str, assets: list[str]) -> dg.AssetsDefinition:
    stage = Ref(assets[0]).stage
    cell_checks = [spec for asset in assets for spec in cell_check_specs(study, asset)]

    @dg.multi_asset(
        name=name.replace("/", "__").replace("-", "_").replace(".", "_"),
        specs=[asset_spec(study, asset) for asset in assets],
        check_specs=dataset_check_specs(name) if stage == "datasets" else cell_checks,
        can_subset=len(assets) > 1,
        backfill_policy=dg.BackfillPolicy.single_run() if partitions_definition(study, assets[0]) else None,
        pool=GPU_POOL if stage in USES_ACCELERATOR else None,
        op_tags={"rsft/program": program_of(stage)},
    )
    def stage_op(
        context: dg.AssetExecutionContext, config: StageConfig, placement: PlacementResource
    ) -> Iterator[dg.Output[None] | dg.AssetCheckResult]:
        names = {key.to_user_string(): context.output_for_asset_key(key) for key in context.selected_asset_keys}
        selected = {asset: names[asset] for asset in assets if asset in names}
        with placement.applied():
            yield from materialize_stage(context, study, selected, force=config.force)

    return stage_op
