"""Telling Dagster about outputs whose events it has not seen.

Work done by hand, a lost DAGSTER_HOME, a copied RSFT_HOME: the files are the truth, the event log is a
view of them. What Dagster has already seen at the same data version is left alone.
"""

from dataclasses import dataclass, field

import dagster as dg

from rsft_assets.defs.recording import Upstream, materialization, outputs_recorded
from rsft_assets.specs.lineage import asset_keys
from rsft_assets.specs.study import Study
from rsft_assets.steps.records.store import Store


@dataclass
class Synced:
    """What a sync did."""

    recorded: list[str] = field(default_factory=list)
    known: int = 0
    undeclared: list[str] = field(default_factory=list)
    """Outputs of things that the study no longer declares; their files stay."""


def sync(instance: dg.DagsterInstance, study: Study, store: Store) -> Synced:
    """Record every current output that Dagster does not know at this data version."""
    done = Synced()
    declared = {asset: place for place, asset in enumerate(asset_keys(study))}
    seen: dict[str, dict[str, str]] = {}
    upstream = Upstream(instance, study)
    # Upstream first, so that what is recorded later finds the versions of what it was made from.
    for output in sorted(store.outputs(), key=lambda found: declared.get(found.manifest.asset, -1)):
        ref = output.manifest.ref
        if ref.asset not in declared:
            if ref.stage != "completions":
                done.undeclared.append(str(ref))
            continue
        if ref.asset not in seen:
            seen[ref.asset] = outputs_recorded(instance, ref.asset)
        if seen[ref.asset].get(ref.partition) == output.digest:
            done.known += 1
            continue
        instance.report_runless_asset_event(materialization(output, "found", upstream))
        done.recorded.append(str(ref))
    return done
