"""The report as an asset."""

from collections.abc import Iterator

import dagster as dg

from rsft_assets.defs.materializing import make_and_record
from rsft_assets.defs.pages import page_url
from rsft_assets.defs.programs import program_of
from rsft_assets.defs.recording import metadata_of, upstream_tags
from rsft_assets.steps.figures.catalogue import figure_keys
from rsft_assets.steps.records.store import Output

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

    @dg.multi_asset(name="report", specs=[spec], op_tags={"rsft/program": program_of(KEY)})
    def report_op(context: dg.AssetExecutionContext) -> Iterator[dg.Output[None]]:
        yield from make_and_record(context, KEY, {KEY: "report"}, (), report_materialization)

    return report_op


def report_materialization(instance: dg.DagsterInstance, output: Output, state: str) -> dg.AssetMaterialization:
    """Dagster's event for the report."""
    pages: dict[str, dg.MetadataValue] = {}
    for path in sorted(output.folder.glob("*.md")):
        pages[f"{path.stem} study, in short"] = dg.MetadataValue.md(path.read_text(encoding="utf-8"))
    for path in sorted(output.folder.glob("*.html")):
        pages[f"{path.stem} study"] = dg.MetadataValue.url(page_url(output, path.name))
        pages[f"{path.stem} study, file"] = dg.MetadataValue.path(str(path))
    tags = {**upstream_tags(instance, figure_keys()), "dagster/data_version": output.digest}
    return dg.AssetMaterialization(
        asset_key=dg.AssetKey(KEY), metadata={"state": state, **pages, **metadata_of(output)}, tags=tags
    )
