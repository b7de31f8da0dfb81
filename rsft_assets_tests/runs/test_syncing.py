"""A home that Dagster knows under other partition keys, or that holds runs which are no longer declared."""

from dataclasses import replace

import dagster as dg
import pytest

from rsft_assets.defs import materializing
from rsft_assets.defs.partitions import dagster_key, full_partitions
from rsft_assets.defs.placing import PLACEMENT_RESOURCE
from rsft_assets.defs.recording import outputs_recorded
from rsft_assets.defs.stages import stage_assets
from rsft_assets.runs.syncing import sync
from rsft_assets.specs.lineage import Ref, partitions_of
from rsft_assets.steps.records.identity import Identity
from rsft_assets.steps.records.store import Store
from rsft_assets_tests.finished_study import finish, tiny_study
from rsft_assets_tests.stand_ins import stand_in

ASSET = "checkpoints/tiny-3m"
KEY = dg.AssetKey(ASSET.split("/"))


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("RSFT_HOME", str(tmp_path))
    study, store = tiny_study(), Store(tmp_path)
    made_of = ("queries", "responses", "verdicts", "benchmarks", "datasets", "base_models")
    finish(study, store, stages=(*made_of, "checkpoints"))
    with dg.DagsterInstance.ephemeral() as instance:
        yield study, store, instance


def _record_full_names(study, store, instance):
    """What the package recorded before Dagster's keys were short."""
    for partition in partitions_of(study, ASSET):
        ref = Ref(ASSET, partition)
        instance.report_runless_asset_event(
            dg.AssetMaterialization(
                KEY,
                partition=dg.MultiPartitionKey({"run": ref.run, "step": str(ref.step)}),
                tags={"dagster/data_version": store.current(ref).digest},
            )
        )


def test_outputs_recorded_under_full_names_are_recorded_under_dagsters_keys_once(home):
    study, store, instance = home
    _record_full_names(study, store, instance)
    valid = partitions_of(study, ASSET)
    keys = {key for key, name in full_partitions(study, ASSET).items() if name in valid}
    assert {f"{ASSET}[{name}]" for name in valid} <= set(sync(instance, study, store).recorded)
    assert set(outputs_recorded(instance, ASSET)) == {*valid, *keys}
    # What the UI counts as materialized is what the asset's own keys hold.
    possible = set(stage_assets_by_key(study)[KEY].partitions_def.get_partition_keys())
    assert instance.get_materialized_partitions(KEY) & possible == keys
    again = sync(instance, study, store)
    assert (again.recorded, again.undeclared) == ([], [])


def test_checks_are_recorded_with_their_outputs_once(home):
    study, store, instance = home
    sync(instance, study, store)
    sync(instance, study, store)
    key = dg.AssetCheckKey(KEY, "held_out_loss")
    history = instance.event_log_storage.get_asset_check_execution_history(key, limit=100)
    evaluations = [record.event.dagster_event.asset_check_evaluation_data for record in history]
    assert sorted(evaluation.partition for evaluation in evaluations) == sorted(full_partitions(study, ASSET))
    # The UI shows those that name the latest materialization of their partition.
    shown = instance.event_log_storage.get_asset_check_partition_info([key])
    assert len(shown) == len(evaluations) and all(info.is_current for info in shown)
    assert {evaluation.passed for evaluation in evaluations} == {True}


def test_a_damaged_curve_fails_its_check_and_stops_no_sync(home):
    study, store, instance = home
    ref = Ref(ASSET, partitions_of(study, ASSET)[-1])
    curves = store.require(ref).file("curves.parquet")
    curves.write_bytes(b"x" * curves.stat().st_size)
    assert str(ref) in sync(instance, study, store).recorded
    key = dg.AssetCheckKey(KEY, "held_out_loss")
    history = instance.event_log_storage.get_asset_check_execution_history(key, limit=100)
    evaluations = [record.event.dagster_event.asset_check_evaluation_data for record in history]
    (failed,) = [evaluation for evaluation in evaluations if not evaluation.passed]
    assert failed.partition == dagster_key(study, ref) and "not a readable Parquet file" in failed.description


def test_the_report_is_recorded_like_figures(home):
    study, store, instance = home
    identity = Identity(Ref("report"), {}, ())
    with store.building(Ref("report"), lambda: identity) as build:
        stand_in(build.folder, Ref("report"))
        build.publish({})
    assert "report" in sync(instance, study, store).recorded
    assert list(outputs_recorded(instance, "report").values()) == [store.require(Ref("report")).digest]
    assert "report" not in sync(instance, study, store).recorded


def stage_assets_by_key(study):
    return {key: asset for asset in stage_assets(study) for key in asset.keys}


def test_outputs_recorded_under_full_names_are_kept(home, monkeypatch):
    study, store, instance = home
    _record_full_names(study, store, instance)
    monkeypatch.setattr(materializing, "launch", lambda placement, call: pytest.fail("nothing is left to make"))
    keys = list(full_partitions(study, ASSET))
    result = dg.materialize(
        stage_assets(study),
        resources=PLACEMENT_RESOURCE,
        selection=[KEY],
        instance=instance,
        tags={"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[-1]},
    )
    assert result.success
    recorded = result.asset_materializations_for_node("checkpoints__tiny_3m")
    assert {(event.partition, event.metadata["state"].value) for event in recorded} == {(key, "kept") for key in keys}


def test_outputs_of_a_run_that_is_no_longer_declared_are_named_and_not_recorded(home):
    study, store, instance = home
    gone = study.runs_of("tiny-3m")[0].name
    fewer = replace(study, runs={name: run for name, run in study.runs.items() if name != gone})
    done = sync(instance, fewer, store)
    assert set(done.undeclared) == {f"{ASSET}[{name}]" for name in partitions_of(study, ASSET)}
    assert outputs_recorded(instance, ASSET) == {}
