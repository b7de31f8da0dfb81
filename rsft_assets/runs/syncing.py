"""Telling Dagster about outputs whose events it has not seen.

Needed after steps were run by hand, or after DAGSTER_HOME was lost or RSFT_HOME copied. The files are the truth and
the event log is a view of them. Outputs that Dagster knows at the same data version are skipped.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import dagster as dg

from rsft_assets.defs.cell_checks import cell_check_results
from rsft_assets.defs.figures import figure_materialization
from rsft_assets.defs.partitions import dagster_key
from rsft_assets.defs.recording import Upstream, materialization, outputs_recorded
from rsft_assets.defs.report import KEY as REPORT
from rsft_assets.defs.report import report_materialization
from rsft_assets.defs.results import table_materialization
from rsft_assets.specs.lineage import Ref, asset_keys
from rsft_assets.specs.study import Study
from rsft_assets.steps.figures.catalogue import figure_keys
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.results.publishing import read_results
from rsft_assets.steps.results.sql_files import results_keys


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
        if ref.asset not in declared or ref.run not in ("", *study.runs):
            if ref.stage not in ("completions", "figures", "report"):
                done.undeclared.append(str(ref))
            continue
        if ref.asset not in seen:
            seen[ref.asset] = outputs_recorded(instance, ref.asset)
        if seen[ref.asset].get(dagster_key(study, ref)) == output.digest:
            done.known += 1
            continue
        instance.report_runless_asset_event(materialization(output, "found", upstream))
        for result in cell_check_results(instance, study, output):
            instance.report_runless_asset_event(result)
        done.recorded.append(str(ref))
    _sync_results(instance, study, store, done)
    return done


def _sync_results(instance: dg.DagsterInstance, study: Study, store: Store, done: Synced) -> None:
    """Tables, figures and the report, which depend on everything else."""
    made: list[tuple[str, str, Callable[[], dg.AssetMaterialization]]] = []
    results = read_results(store)
    if results is not None:
        sound = [t for t in results.tables if t.key in results_keys() and t.state not in ("failed", "skipped")]
        for table in sound:
            made.append((table.key, table.digest, partial(table_materialization, instance, study, table, results)))
    for key in (*figure_keys(), REPORT):
        if (output := store.current(Ref(key))) is not None:
            event_of = report_materialization if key == REPORT else figure_materialization
            made.append((key, output.digest, partial(event_of, instance, output, "found")))
    for key, digest, event in made:
        if outputs_recorded(instance, key).get("") == digest:
            done.known += 1
        else:
            instance.report_runless_asset_event(event())
            done.recorded.append(key)
