"""Asset checks: facts that a training set must satisfy before anything trains on it, and drift."""

from collections.abc import Iterator

import dagster as dg

from rsft_assets.specs.lineage import Ref, asset_keys, partitions_of
from rsft_assets.specs.study import Study
from rsft_assets.steps.records.drift import drift
from rsft_assets.steps.records.store import Output, Store

DATASET_CHECKS = {
    "rows": "As many rows as declared.",
    "duplicate_queries": "No query twice.",
    "malformed_thinking": "One well-formed <think>…</think> in every response, or none where there should be none.",
    "without_box": "Every response ends in a boxed answer, where the recipe promises one.",
    "contaminated": "No benchmark item among the queries.",
}
"""Names under `checks` in a training set's stats; a failed one blocks downstream assets."""
_SHOWN = 5


def dataset_check_specs(asset: str) -> list[dg.AssetCheckSpec]:
    return [
        dg.AssetCheckSpec(name=name, asset=asset.split("/"), description=description, blocking=True)
        for name, description in DATASET_CHECKS.items()
    ]


def dataset_check_results(output: Output) -> Iterator[dg.AssetCheckResult]:
    """The builder's facts as check results; a fact that it did not state fails."""
    facts = output.stats.get("checks", {})
    for name in DATASET_CHECKS:
        fact = facts.get(name, {"passed": False, "value": "not stated by the builder"})
        yield dg.AssetCheckResult(
            passed=bool(fact["passed"]),
            check_name=name,
            asset_key=output.manifest.asset.split("/"),
            # A set adopted as published cannot be corrected here: its faults are shown and block nothing.
            severity=dg.AssetCheckSeverity.ERROR if fact.get("blocking", True) else dg.AssetCheckSeverity.WARN,
            metadata={key: value for key, value in fact.items() if key != "passed"},
        )


def drift_checks(study: Study) -> dg.AssetChecksDefinition:
    """One check per file-backed asset, run on demand: would it be made the same way now?"""
    specs = [
        dg.AssetCheckSpec(
            name="drift",
            asset=asset.split("/"),
            description="Whether spec, inputs or code have changed since this was made. Blocks nothing.",
        )
        for asset in asset_keys(study)
    ]

    @dg.multi_asset_check(name="drift_checks", specs=specs, can_subset=True)
    def check_drift(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        store = Store.from_env()
        for key in context.selected_asset_check_keys:
            asset = key.asset_key.to_user_string()
            yield _drift_result(asset, _drifted(study, store, asset))

    return check_drift


def _drifted(study: Study, store: Store, asset: str) -> dict[str, list[str]]:
    """ref -> what has changed, for every current output of an asset that drifted."""
    drifted = {}
    for partition in partitions_of(study, asset) or ("",):
        output = store.current(Ref(asset, partition))
        if output is not None and (reasons := drift(study, store, output)):
            drifted[str(output.manifest.ref)] = reasons
    return drifted


def _drift_result(asset: str, drifted: dict[str, list[str]]) -> dg.AssetCheckResult:
    alike: dict[str, list[str]] = {}
    for ref, reasons in drifted.items():
        alike.setdefault("; ".join(reasons), []).append(ref)
    said = [f"{len(refs)} of them, such as {refs[0]}: {reasons}" for reasons, refs in list(alike.items())[:_SHOWN]]
    said += [f"and {len(alike) - _SHOWN} more reasons"] if len(alike) > _SHOWN else []
    return dg.AssetCheckResult(
        passed=not drifted,
        check_name="drift",
        asset_key=asset.split("/"),
        severity=dg.AssetCheckSeverity.WARN,
        description="\n\n".join(said) or "made from the current declarations by the current code",
        metadata={"outputs that drifted": len(drifted)},
    )
