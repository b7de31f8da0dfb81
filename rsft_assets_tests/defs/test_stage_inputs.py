"""Tables show as stale when something that they read was recorded after them."""

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from rsft_assets.definitions import defs
from rsft_assets.defs.code_location import study
from rsft_assets.defs.partitions import dagster_key
from rsft_assets.defs.results import table_materialization
from rsft_assets.specs.lineage import Ref, partitions_of
from rsft_assets.steps.results.publishing import BuiltTable, Results
from rsft_assets.steps.results.sql_files import tables

TABLE = dg.AssetKey(["results", "staging", "item_scores"])
SCORES = "scores/nano-300k/nano-dot"


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def made(asset, partition=None):
    key = dagster_key(study, Ref(asset, partition)) if partition else None
    return dg.AssetMaterialization(asset.split("/"), partition=key, tags={"dagster/data_version": "1"})


def built(instance):
    """All tables as if they had just been built."""
    results = Results(database="", tables=(), tests=(), problems=(), outputs=0, seconds=0.0, build_id="1")
    for entry in tables():
        schema, name = entry.table.split(".")
        table = BuiltTable(schema=schema, name=name, state="built", digest="1")
        instance.report_runless_asset_event(table_materialization(instance, study, table, results))


def status(instance):
    graph = defs.resolve_asset_graph()
    return CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance)).get_status(TABLE)


@pytest.mark.slow
@pytest.mark.parametrize("asset", [SCORES, "scores/qwen3-14b/math500"])
def test_a_new_score_makes_tables_stale_whatever_the_number_of_partitions(instance, asset):
    first, second, *_ = partitions_of(study, asset)
    instance.report_runless_asset_event(made(asset, first))
    built(instance)
    assert status(instance) == StaleStatus.FRESH
    instance.report_runless_asset_event(made(asset, second))
    assert status(instance) == StaleStatus.STALE


@pytest.mark.slow
def test_making_the_asset_between_does_not_make_tables_stale(instance):
    built(instance)
    keys = [dg.AssetKey(["results", "inputs", "scores"])]
    job = defs.get_repository_def().get_implicit_job_def_for_assets(keys)
    assert job.execute_in_process(instance=instance, asset_selection=keys).success
    assert status(instance) == StaleStatus.FRESH
