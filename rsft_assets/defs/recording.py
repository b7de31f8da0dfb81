"""From a manifest to Dagster's records: materializations, data versions and metadata.

Every partition is recorded by itself, from its own manifest. An output *returned* from a range of
partitions would record all of the range, skipped cells too, with one version over what was recorded
before; so ops end in `silent_output`, which lets later assets of the run go on and records nothing.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION

from rsft_assets.defs.cards import card
from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.records.columns import KINDS
from rsft_assets.steps.records.store import Output

_DATA_VERSION = "dagster/data_version"
_CODE_VERSION = "dagster/code_version"
_PREVIEW_STATS = 24


def silent_output(output_name: str) -> dg.Output[None]:
    """An output that later assets of the same run may depend on, without a materialization of its own.

    Dagster has no public way to say so for a range; this mark is the one its own observable sources use.
    """
    return dg.Output(None, output_name=output_name, metadata={SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True})


def materialization(output: Output, state: str) -> dg.AssetMaterialization:
    """What Dagster is told about one output; `state` is made, kept or found."""
    manifest = output.manifest
    tags = {
        _DATA_VERSION: manifest.digest,
        _CODE_VERSION: str(manifest.made_by.get("code") or "unknown"),
        **{f"dagster/input_data_version/{i.asset}": i.digest for i in manifest.inputs if not i.partition},
    }
    return dg.AssetMaterialization(
        asset_key=dg.AssetKey(manifest.asset.split("/")),
        partition=_partition_key(manifest.ref),
        metadata={"state": state, **metadata_of(output)},
        tags=tags,
    )


def _partition_key(ref: Ref) -> str | None:
    if ref.stage in ("checkpoints", "scores"):
        return dg.MultiPartitionKey({"run": ref.run, "step": str(ref.step)})
    return ref.partition or None


def metadata_of(output: Output) -> dict[str, Any]:
    """What a person wants to see first on an asset's page."""
    manifest = output.manifest
    metadata: dict[str, Any] = {
        "origin": manifest.origin,
        "fingerprint": manifest.fingerprint[:12],
        "digest": manifest.digest[:12],
        "folder": dg.MetadataValue.path(str(output.folder)),
        "seconds": manifest.seconds,
        "trace": trace_command(manifest.ref),
        "made_by": {key: value for key, value in manifest.made_by.items() if key != "versions"},
    }
    rows = [record.rows for record in manifest.files if record.rows is not None]
    if rows:
        metadata["dagster/row_count"] = max(rows)
    if words := card(manifest.ref, manifest.stats):
        metadata["card"] = dg.MetadataValue.md(words)
    for key, value in list(manifest.stats.items())[:_PREVIEW_STATS]:
        metadata[key] = value
    return metadata


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
    """partition ("" for none) -> data version that Dagster last saw for it."""
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
