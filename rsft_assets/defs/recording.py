"""From a manifest to Dagster's records: materializations, data versions and metadata.

Every partition is recorded by itself, from its own manifest. An output *returned* from a range of
partitions would record all of the range, skipped cells too, with one version over what was recorded
before; so ops end in `silent_output`, which lets later assets of the run go on and records nothing.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from rsft_assets.defs.asset_cards import ON_CARDS, card
from rsft_assets.defs.dagster_private import (
    NULL_DATA_VERSION,
    NULL_EVENT_POINTER,
    SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION,
)
from rsft_assets.defs.partitions import dagster_key
from rsft_assets.defs.score_cards import score_card
from rsft_assets.specs.lineage import Ref, asset_inputs
from rsft_assets.specs.study import Study
from rsft_assets.specs.titles import run_title, titles_of
from rsft_assets.steps.records.columns import KINDS
from rsft_assets.steps.records.store import Output

_DATA_VERSION = "dagster/data_version"
_CODE_VERSION = "dagster/code_version"
INPUT_VERSION = "dagster/input_data_version"
_INPUT_EVENT = "dagster/input_event_pointer"
_PREVIEW_STATS = 24


def silent_output(output_name: str) -> dg.Output[None]:
    """An output that later assets of the same run may depend on, without a materialization of its own.

    Dagster has no public way to do this for a range. Its own observable sources use this metadata key.
    """
    return dg.Output(None, output_name=output_name, metadata={SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True})


class Upstream:
    """Dagster's versions of upstream assets, each asked for once. They decide what shows as unsynced."""

    def __init__(self, instance: dg.DagsterInstance, study: Study) -> None:
        self._instance, self.study = instance, study
        self._tags: dict[str, dict[str, str]] = {}

    def tags(self, asset: str) -> dict[str, str]:
        """Version and event of each upstream asset as recorded now."""
        if asset not in self._tags:
            self._tags[asset] = upstream_tags(self._instance, asset_inputs(self.study, asset))
        return self._tags[asset]


def upstream_tags(instance: dg.DagsterInstance, keys: Sequence[str]) -> dict[str, str]:
    """Dagster's provenance tags for upstream assets at their latest recorded versions."""
    tags = {}
    for key in keys:
        tags[f"{INPUT_VERSION}/{key}"], tags[f"{_INPUT_EVENT}/{key}"] = NULL_DATA_VERSION.value, NULL_EVENT_POINTER
    for record in instance.get_asset_records([dg.AssetKey(key.split("/")) for key in keys]):
        entry, key = record.asset_entry, record.asset_entry.asset_key.to_user_string()
        if entry.last_materialization is not None:
            version = (entry.last_materialization.tags or {}).get(_DATA_VERSION)
            tags[f"{INPUT_VERSION}/{key}"] = version or NULL_DATA_VERSION.value
            tags[f"{_INPUT_EVENT}/{key}"] = str(entry.last_materialization_storage_id or NULL_EVENT_POINTER)
    return tags


def materialization(output: Output, state: str, upstream: Upstream) -> dg.AssetMaterialization:
    """Dagster's event for one output; `state` is made, kept, found or no access."""
    manifest = output.manifest
    first = score_card(upstream.study, output)
    tags = {
        **upstream.tags(manifest.asset),
        # The version that was used, where an upstream asset has one for all of it.
        **{f"{INPUT_VERSION}/{i.asset}": i.digest for i in manifest.inputs if not i.partition},
        _DATA_VERSION: manifest.digest,
        _CODE_VERSION: str(manifest.made_by.get("code") or "unknown"),
    }
    return dg.AssetMaterialization(
        asset_key=dg.AssetKey(manifest.asset.split("/")),
        partition=dagster_key(upstream.study, manifest.ref) or None,
        metadata={
            **first,
            "state": state,
            **_run_of(upstream.study, manifest.ref),
            **metadata_of(output, stats=not first),
        },
        tags=tags,
    )


def _run_of(study: Study, ref: Ref) -> dict[str, str]:
    """What a short partition key stands for."""
    if ref.stage not in ("checkpoints", "scores"):
        return {}
    run = study.get("runs", ref.run)
    return {"run": f"{run_title(titles_of(study, study.member_of[('runs', run.name)]), run)}: {run.name}"}


def metadata_of(output: Output, *, stats: bool = True) -> dict[str, Any]:
    """The metadata on an asset's page, the most useful first; without `stats` where they are shown already."""
    manifest = output.manifest
    metadata: dict[str, Any] = {}
    if text := card(manifest.ref, manifest.stats):
        metadata["card"] = dg.MetadataValue.md(text)
    if without := instead_of_number(output):
        metadata["value"] = without
    if stats:
        known = (*metadata, *(ON_CARDS if text else ()))
        shown = [(k, v) for k, v in manifest.stats.items() if k not in known][:_PREVIEW_STATS]
        metadata |= {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in shown}
    metadata |= {
        "trace": trace_command(manifest.ref),
        "folder": dg.MetadataValue.path(str(output.folder)),
        "origin": manifest.origin,
        "fingerprint": manifest.fingerprint[:12],
        "digest": manifest.digest[:12],
        "seconds": manifest.seconds,
        # A whole commit is wider than the page.
        "made_by": {k: v[:12] if k == "commit" and v else v for k, v in manifest.made_by.items() if k != "versions"},
    }
    rows = [record.rows for record in manifest.files if record.rows is not None]
    if rows:
        metadata["dagster/row_count"] = max(rows)
    return metadata


def instead_of_number(output: Output) -> str:
    """What stands where a score's number would be; empty where it has one, and for what is no score."""
    state = output.stats.get("state", "scored") if output.manifest.ref.stage == "scores" else "scored"
    return {"scored": "", "undecided": "undecided"}.get(state, str(output.stats.get("reason")).partition(":")[0])


def trace_command(ref: Ref) -> str:
    """The command that follows this result to its origin."""
    return f"rsft trace {ref.asset}" + (f" '{ref.partition}'" if ref.partition else "")


def column_schema(kind: str) -> dg.TableSchema:
    """Column names, types and meanings of a kind of record, for the asset's page."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(c.name, c.type, c.about, constraints=dg.TableColumnConstraints(nullable=c.nullable))
            for c in KINDS[kind]
        ]
    )


def outputs_recorded(instance: dg.DagsterInstance, asset: str) -> dict[str, str]:
    """Dagster's partition key ("" for none) -> data version that it last saw for it."""
    key = dg.AssetKey(asset.split("/"))
    seen: dict[str, str] = {}
    for event in reversed(list(_materializations(instance, key))):
        seen[event.partition or ""] = (event.tags or {}).get(_DATA_VERSION, "")
    return seen


def _materializations(instance: dg.DagsterInstance, key: dg.AssetKey) -> Iterator[dg.AssetMaterialization]:
    """Newest first."""
    cursor = None
    while True:
        page = instance.fetch_materializations(key, limit=1_000, cursor=cursor)
        yield from (record.asset_materialization for record in page.records if record.asset_materialization)
        if not page.has_more:
            return
        cursor = page.cursor
