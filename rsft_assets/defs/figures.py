"""Figures as assets, drawn from the results, each with its picture on its page."""

import hashlib
from collections.abc import Iterator

import dagster as dg

from rsft_assets.defs.materializing import make_and_record
from rsft_assets.defs.pages import embedded, page_url
from rsft_assets.defs.programs import program_of
from rsft_assets.defs.recording import metadata_of, upstream_tags
from rsft_assets.steps.figures.catalogue import FIGURES, Figure, figure_keys, label_of
from rsft_assets.steps.records.store import Output


def figure_assets() -> dg.AssetsDefinition:
    """All figures as one definition: one process draws them, and only those whose numbers changed."""

    @dg.multi_asset(
        name="figures",
        specs=[_spec(figure) for figure in FIGURES],
        can_subset=True,
        op_tags={"rsft/program": program_of("figures")},
    )
    def figures_op(context: dg.AssetExecutionContext) -> Iterator[dg.Output[None]]:
        names = {key.to_user_string(): context.output_for_asset_key(key) for key in context.selected_asset_keys}
        wanted = {key: names[key] for key in figure_keys() if key in names}
        yield from make_and_record(context, "figures", wanted, tuple(wanted), figure_materialization)

    return figures_op


def _spec(figure: Figure) -> dg.AssetSpec:
    return dg.AssetSpec(
        key=figure.key.split("/"),
        deps=[["results", *table.split(".")] for table in figure.reads],
        group_name="figures",
        description=figure.description,
        kinds={"matplotlib", "svg"},
        owners=["team:rsft"],
        tags={"stage": "figures"},
        code_version=_code_version(figure),
        skippable=True,
    )


def _code_version(figure: Figure) -> str:
    return hashlib.sha256(figure.query.encode()).hexdigest()[:10]


def figure_materialization(instance: dg.DagsterInstance, output: Output, state: str) -> dg.AssetMaterialization:
    """Dagster's event for one figure."""
    figure = next(figure for figure in FIGURES if figure.key == output.manifest.asset)
    tags = upstream_tags(instance, figure.depends_on)
    tags |= {"dagster/code_version": _code_version(figure), "dagster/data_version": output.digest}
    pictures = {
        label_of(path.name): dg.MetadataValue.md(embedded(page_url(output, path.name), label_of(path.name)))
        for path in sorted(output.folder.glob("*.png"))
    }
    return dg.AssetMaterialization(
        asset_key=dg.AssetKey(output.manifest.asset.split("/")),
        metadata={"state": state, **pictures, **metadata_of(output)},
        tags=tags,
    )
