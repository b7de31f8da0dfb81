"""Dagster's private names that are used here: where they stand, and that each still does what is needed of it.

When a test fails after an upgrade of Dagster, change `rsft_assets/defs/dagster_private.py` and what imports it.
"""

import shutil
import warnings

import dagster as dg
import pytest

from rsft_assets.defs import dagster_private
from rsft_assets.defs.recording import silent_output, upstream_tags
from rsft_assets_tests.test_architecture import PACKAGE, imported_modules


def test_private_names_stand_in_one_module():
    private = {}
    for path in PACKAGE.rglob("*.py"):
        for module in imported_modules(path):
            top, _, rest = module.partition(".")
            if top == "dagster_shared" or (top == "dagster" and rest.startswith("_")):
                private.setdefault(path.relative_to(PACKAGE).as_posix(), set()).add(module)
    assert private.keys() == {"defs/dagster_private.py"}, private


def test_a_marked_output_records_nothing_and_lets_later_assets_go_on():
    @dg.multi_asset(specs=[dg.AssetSpec("before", skippable=True)])
    def write_before():
        yield silent_output("before")

    @dg.asset(deps=["before"])
    def after() -> None: ...

    with dg.DagsterInstance.ephemeral() as instance:
        assert dg.materialize([write_before, after], instance=instance).success
        assert instance.get_latest_materialization_event(dg.AssetKey("before")) is None
        assert instance.get_latest_materialization_event(dg.AssetKey("after")) is not None


def test_tags_of_an_upstream_that_was_never_recorded_are_called_as_dagster_calls_them():
    @dg.asset(code_version="1")
    def before() -> None: ...

    @dg.asset(deps=["before"], code_version="1")
    def after() -> None: ...

    with dg.DagsterInstance.ephemeral() as instance:
        ours = upstream_tags(instance, ["before"])
        assert dg.materialize([before, after], selection=[after], instance=instance).success
        theirs = instance.get_latest_materialization_event(dg.AssetKey("after")).asset_materialization.tags
    assert len(ours) == 2 and ours.keys() <= theirs.keys()
    assert set(ours.values()) == {"NULL"}


def test_the_graph_of_a_repository_is_the_one_that_is_annotated():
    repository = dg.Definitions(assets=[dg.AssetSpec("one")]).get_repository_def()
    assert isinstance(repository.asset_graph, dagster_private.AssetGraph)


def test_settings_that_are_a_list_raise_the_error_that_is_caught(tmp_path):
    (tmp_path / "dagster.yaml").write_text("- a\n")
    with pytest.raises(dagster_private.CheckError):
        dg.DagsterInstance.from_config(str(tmp_path))


def test_the_ancestors_of_a_table_are_found_through_a_virtual_asset():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        between = dg.AssetSpec("between", deps=["score"], is_virtual=True)
    specs = [dg.AssetSpec("score"), between, dg.AssetSpec("table", deps=["between"])]
    graph = dg.Definitions(assets=specs).get_repository_def().asset_graph
    assert graph.get_non_virtual_ancestor_keys(dg.AssetKey("table")) == {dg.AssetKey("score")}


def test_a_run_that_is_over_is_not_among_those_that_are_not():
    over = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
    unfinished = set(dagster_private.NOT_FINISHED_STATUSES)
    assert {dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTED} <= unfinished and not unfinished & over


@pytest.mark.slow
def test_one_engine_for_each_file_of_the_event_log_and_what_is_recorded_is_seen_elsewhere(tmp_path, monkeypatch):
    from dagster._core.storage.event_log.sqlite import sqlite_event_log

    made, real = [], sqlite_event_log.create_engine

    def make(url, **options):
        made.append(url)
        return real(url, **options)

    @dg.asset
    def many(context: dg.AssetExecutionContext):
        for number in range(9):
            context.log_event(dg.AssetMaterialization("many", metadata={"number": number}))

    monkeypatch.setattr(sqlite_event_log, "create_engine", make)
    monkeypatch.setattr(dagster_private, "_ENGINES_KEPT", 2)
    dagster_private.keep_sqlite_engines()
    dagster_private.keep_sqlite_engines()
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        for _ in range(4):
            assert dg.materialize([many], instance=instance).success
        runs = instance.get_runs()
    assert len(made) == len(set(made)) == len(runs) + 1, "each run has a file, and there is one of all"
    monkeypatch.setattr(sqlite_event_log, "create_engine", real)
    with dg.DagsterInstance.local_temp(str(tmp_path)) as elsewhere:
        records = elsewhere.fetch_materializations(dg.AssetKey("many"), limit=1_000).records
        assert len(records) == len(runs) * 10


def test_a_deleted_file_of_the_event_log_gets_a_new_engine(tmp_path, monkeypatch):
    from dagster._core.storage.event_log.sqlite import sqlite_event_log

    @dg.asset
    def one() -> None: ...

    monkeypatch.setattr(sqlite_event_log, "create_engine", sqlite_event_log.create_engine)
    dagster_private.keep_sqlite_engines()
    for _ in range(2):
        with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
            assert dg.materialize([one], instance=instance).success
            assert len(instance.fetch_materializations(dg.AssetKey("one"), limit=9).records) == 1
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
