"""What runs after something upstream has failed."""

import os

import dagster as dg
import pytest

from rsft_assets.defs.process_mark import PROCESS_TAG
from rsft_assets.runs.running import run_batches
from rsft_assets.steps.questions.planning.batches import Batch


@dg.multi_asset(specs=[dg.AssetSpec(["results", "sound"]), dg.AssetSpec(["results", "broken"])])
def tables(context):
    context.log_event(dg.AssetMaterialization(["results", "sound"]))
    raise dg.Failure("broken.sql: no such column", allow_retries=False)


def below(*path, upstream):
    @dg.asset(key=list(path), deps=[["results", upstream]])
    def made():
        pass

    return made


@pytest.mark.parametrize(
    ("path", "upstream", "problem"),
    [
        (("figures", "one"), "broken", ""),
        (("report",), "broken", ""),
        (("other", "table"), "sound", ""),
        (("other", "table"), "broken", "not run, since results/broken failed"),
    ],
)
def test_after_a_failed_table_all_runs_that_can_do_without_it(path, upstream, problem):
    definitions = dg.Definitions(assets=[tables, below(*path, upstream=upstream)])
    batches = [Batch(("results/sound", "results/broken")), Batch(("/".join(path),))]
    with dg.DagsterInstance.ephemeral() as instance:
        first, second = run_batches(definitions, instance, batches)
    assert first.problem == "broken.sql: no such column"
    assert second.problem == problem


@dg.asset(key=["base_models", "gated"])
def gated():
    raise dg.Failure("sums at 20%, the gate asks for 60%", allow_retries=False)


@pytest.mark.parametrize(
    ("vital", "ran"), [((), ["base_models/gated", "other/table"]), (("base_models",), ["base_models/gated"])]
)
def test_a_vital_failure_ends_the_plan_and_another_does_not(vital, ran):
    @dg.asset(key=["other", "table"])
    def unrelated():
        pass

    definitions = dg.Definitions(assets=[gated, unrelated])
    batches = [Batch(("base_models/gated",)), Batch(("other/table",))]
    with dg.DagsterInstance.ephemeral() as instance:
        outcomes = list(run_batches(definitions, instance, batches, vital=vital))
    assert [outcome.batch.assets[0] for outcome in outcomes] == ran
    assert outcomes[0].problem == "sums at 20%, the gate asks for 60%"


def test_of_benchmarks_in_one_run_only_those_that_failed_stop_what_is_below_them():
    def benchmark(name, problem=""):
        @dg.asset(key=["benchmarks", name])
        def made():
            if problem:
                raise OSError(problem)

        return made

    @dg.multi_asset(
        specs=[dg.AssetSpec(["scores", "m", name], deps=[["benchmarks", name]]) for name in "abc"], can_subset=True
    )
    def scores(context):
        for key in sorted(context.selected_asset_keys):
            yield dg.MaterializeResult(key)

    names = {"a": "", "b": "no such item", "c": "no such item"}
    definitions = dg.Definitions(assets=[scores, *(benchmark(*entry) for entry in names.items())])
    batches = [Batch(tuple(f"benchmarks/{name}" for name in names)), Batch(tuple(f"scores/m/{name}" for name in names))]
    with dg.DagsterInstance.ephemeral() as instance:
        first, second = run_batches(definitions, instance, batches)
        assert {run.run_id for run in instance.get_runs()} == {first.run_id, second.run_id}
        assert instance.get_latest_materialization_event(dg.AssetKey(["scores", "m", "a"]))
        assert instance.get_latest_materialization_event(dg.AssetKey(["scores", "m", "b"])) is None
    assert sorted(first.problem.splitlines()) == [f"benchmarks__{x}: OSError: no such item" for x in "bc"]
    assert second.problem.splitlines() == [f"scores/m/{x}: not run, since benchmarks/{x} failed" for x in "bc"]


def test_a_vital_stage_that_is_not_run_ends_the_plan():
    @dg.asset(key=["base_models", "one"], deps=[["results", "broken"]])
    def one():
        pass

    @dg.asset(key=["other", "table"])
    def unrelated():
        pass

    definitions = dg.Definitions(assets=[tables, one, unrelated])
    batches = [Batch(("results/sound", "results/broken")), Batch(("base_models/one",)), Batch(("other/table",))]
    with dg.DagsterInstance.ephemeral() as instance:
        outcomes = list(run_batches(definitions, instance, batches, vital=("base_models",)))
    assert [outcome.problem for outcome in outcomes][1:] == ["not run, since results/broken failed"]


def test_a_run_has_the_name_of_its_process_before_its_op_begins():
    named = []

    @dg.asset(key=["base_models", "one"])
    def one(context: dg.AssetExecutionContext):
        named.append(context.run.tags[PROCESS_TAG])

    with dg.DagsterInstance.ephemeral() as instance:
        [outcome] = run_batches(dg.Definitions(assets=[one]), instance, [Batch(("base_models/one",))])
    assert outcome.ok
    assert f":{os.getpid()}:" in named[0]
