"""Figures as assets, drawn from the results, each with its picture on its page."""

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from rsft_assets.defs.materializing import run_program
from rsft_assets.defs.programs import program_of
from rsft_assets.defs.recording import metadata_of, silent_output, upstream_tags
from rsft_assets.defs.watching import tell
from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.figures.catalogue import FIGURES, Figure, figure_keys
from rsft_assets.steps.records.store import Output, Store

MODULE = program_of("figures")
_LARGEST_PREVIEW_BYTES = 400_000


def figure_assets() -> dg.AssetsDefinition:
    """All figures as one definition: one process draws them, and only those whose numbers changed."""

    @dg.multi_asset(
        name="figures",
        specs=[_spec(figure) for figure in FIGURES],
        can_subset=True,
        op_tags={"rsft/program": MODULE},
    )
    def figures_op(context: dg.AssetExecutionContext) -> Iterator[dg.Output[None]]:
        selected = {key.to_user_string(): key for key in context.selected_asset_keys}
        store = Store.from_env()
        before = {key: digest_of(store, key) for key in selected}
        wanted = tuple(key for key in figure_keys() if key in selected)
        run_program(context, MODULE, wanted, "figures")
        for key in wanted:
            output = store.require(Ref(key))
            state = "kept" if output.digest == before[key] else "made"
            context.log_event(figure_materialization(context.instance, output, state))
            tell({"event": "recorded", "state": state, "asset": key, "partition": ""})
            yield silent_output(context.output_for_asset_key(selected[key]))

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


def digest_of(store: Store, key: str) -> str | None:
    """What is there now, if anything sound is."""
    output = store.sound(Ref(key))
    return output.digest if output else None


def figure_materialization(instance: dg.DagsterInstance, output: Output, state: str) -> dg.AssetMaterialization:
    """What Dagster is told about one figure."""
    figure = next(figure for figure in FIGURES if figure.key == output.manifest.asset)
    tags = upstream_tags(instance, figure.depends_on)
    tags |= {"dagster/code_version": _code_version(figure), "dagster/data_version": output.digest}
    pictures = {
        f"{path.stem} study": dg.MetadataValue.md(_inline(path))
        for path in sorted(output.folder.glob("*.png"))
        if path.stat().st_size < _LARGEST_PREVIEW_BYTES
    }
    return dg.AssetMaterialization(
        asset_key=dg.AssetKey(output.manifest.asset.split("/")),
        metadata={"state": state, **pictures, **metadata_of(output)},
        tags=tags,
    )


def _inline(path: Path) -> str:
    """The picture itself, since Dagster's UI shows no file of this machine."""
    encoded = base64.b64encode(path.read_bytes()).decode()
    return f'<img alt="{path.stem}" width="1100" src="data:image/png;base64,{encoded}">'
