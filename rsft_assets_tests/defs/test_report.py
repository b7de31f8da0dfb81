"""The report as an asset: a page that did not change is called kept."""

import dagster as dg

from rsft_assets.defs import materializing, report
from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.records.identity import Identity
from rsft_assets.steps.records.store import Build, Store
from rsft_assets_tests.stand_ins import stand_in


def test_a_report_that_did_not_change_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("RSFT_HOME", str(tmp_path))
    pages = iter(("first", "first", "second"))

    def writes(context, module, arguments, label):
        store, words = Store.from_env(), next(pages)
        identity = Identity(Ref(report.KEY), {"words": words}, ())
        if store.kept(identity) is None:
            work = store.slot(Ref(report.KEY)) / f".building-{words}"
            work.mkdir(parents=True)
            stand_in(work, Ref(report.KEY), words)
            Build(store, identity, work, {}).publish()

    monkeypatch.setattr(materializing, "run_program", writes)
    states = []
    for _ in range(3):
        result = dg.materialize([report.report_asset()])
        (made,) = result.asset_materializations_for_node("report")
        states.append(made.metadata["state"].value)
    assert states == ["made", "kept", "made"]
