"""The report as an asset."""

from collections.abc import Iterator

import dagster as dg

from rsft_assets.defs.figures import digest_of
from rsft_assets.defs.materializing import run_program
from rsft_assets.defs.programs import program_of
from rsft_assets.defs.recording import metadata_of, silent_output, upstream_tags
from rsft_assets.defs.watching import tell
from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.figures.catalogue import figure_keys
from rsft_assets.steps.records.store import Output, Store

MODULE = program_of("report")
KEY = "report"


def report_asset() -> dg.AssetsDefinition:
    """One HTML file a study: questions, each answered in a sentence with its uncertainty, and its figure."""
    spec = dg.AssetSpec(
        key=KEY,
        deps=[key.split("/") for key in figure_keys()],
        group_name="figures",
        description="The questions that the study asks, each answered in a sentence computed from the tables, with "
        "its uncertainty, its figure and the commands that trace it. One self-contained HTML file for each study.",
        kinds={"html"},
        owners=["team:rsft"],
        tags={"stage": "report"},
        skippable=True,
    )

    @dg.multi_asset(name="report", specs=[spec], op_tags={"rsft/program": MODULE})
    def report_op(context: dg.AssetExecutionContext) -> Iterator[dg.Output[None]]:
        store = Store.from_env()
        before = digest_of(store, KEY)
        run_program(context, MODULE, (), "report")
        output = store.require(Ref(KEY))
        state = "kept" if output.digest == before else "made"
        context.log_event(report_materialization(context.instance, output, state))
        tell({"event": "recorded", "state": state, "asset": KEY, "partition": ""})
        yield silent_output("report")

    return report_op


def report_materialization(instance: dg.DagsterInstance, output: Output, state: str) -> dg.AssetMaterialization:
    """What Dagster is told about the report."""
    pages = {path.stem: dg.MetadataValue.path(str(path)) for path in sorted(output.folder.glob("*.html"))}
    tags = {**upstream_tags(instance, figure_keys()), "dagster/data_version": output.digest}
    return dg.AssetMaterialization(
        asset_key=dg.AssetKey(KEY), metadata={"state": state, **pages, **metadata_of(output)}, tags=tags
    )
