"""What tables read of a stage, as one asset: `results/inputs/scores` stands between all scores and the tables.

Tables that depended on the scores themselves would have Dagster compare every partition of every asset for each table:
minutes for the whole study, and nothing for an asset of 100 partitions and more, which Dagster skips. These assets are
virtual: Dagster looks through them. A table is stale once anything of a stage was recorded after it, whatever the
number of partitions, and is built after it in a run or a backfill.
"""

import warnings
from collections.abc import Iterable, Iterator

import dagster as dg

from rsft_assets.defs.dagster_private import DEFAULT_DATA_VERSION
from rsft_assets.defs.partitions import partitions_definition
from rsft_assets.defs.recording import INPUT_VERSION, silent_output
from rsft_assets.specs.lineage import asset_keys
from rsft_assets.specs.study import Study
from rsft_assets.steps.results.record_tables import STAGES_OF

_VERSION = DEFAULT_DATA_VERSION.value
"""The data version that Dagster takes a virtual asset to have, made or not: making one never makes a table stale."""
_PREFIX = "results/inputs/"


def stage_input(stage: str) -> str:
    """The key of a stage's asset."""
    return _PREFIX + stage


def stage_input_tags(keys: Iterable[str]) -> dict[str, str]:
    """Dagster's provenance tags for those of the keys that are such assets."""
    return {f"{INPUT_VERSION}/{key}": _VERSION for key in keys if key.startswith(_PREFIX)}


def stage_input_assets(study: Study) -> dg.AssetsDefinition:
    """One asset for each stage that a table reads; making them does nothing but say so to Dagster."""
    read = {stage for stages in STAGES_OF.values() for stage in stages}
    members: dict[str, list[str]] = {}
    for key in asset_keys(study):
        if (stage := key.split("/")[0]) in read:
            members.setdefault(stage, []).append(key)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        specs = [_spec(study, stage, keys) for stage, keys in members.items()]

    @dg.multi_asset(name="results_inputs", specs=specs, can_subset=True)
    def results_inputs(context: dg.AssetExecutionContext) -> Iterator[dg.Output[None]]:
        for key in sorted(context.selected_asset_keys):
            context.log_event(dg.AssetMaterialization(key, tags={"dagster/data_version": _VERSION}))
            yield silent_output(context.output_for_asset_key(key))

    return results_inputs


def _spec(study: Study, stage: str, keys: list[str]) -> dg.AssetSpec:
    whole = dg.AllPartitionMapping()
    return dg.AssetSpec(
        key=stage_input(stage).split("/"),
        deps=[
            dg.AssetDep(key.split("/"), partition_mapping=whole if partitions_definition(study, key) else None)
            for key in keys
        ],
        group_name="results",
        description=f"All that the stage `{stage}` has made, as the tables read it. There is nothing to make here.",
        kinds={"parquet"},
        owners=["team:rsft"],
        tags={"stage": "results"},
        skippable=True,
        is_virtual=True,
    )
