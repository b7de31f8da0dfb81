"""Jobs do what their names say, and the sensors ask for no more than is missing."""

from dataclasses import replace
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import dagster as dg
import pytest
import yaml

from rsft_assets.defs import materializing
from rsft_assets.defs.code_location import defs, study
from rsft_assets.defs.jobs import MaterializeConfig, _asset_pages, launchpad_path
from rsft_assets.defs.jobs import jobs as declared_jobs
from rsft_assets.defs.partitions import dagster_key
from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.questions.planning.selection import Selection, cells
from rsft_assets.steps.records.store import Store
from rsft_assets_tests.wide_study import wide_study

SCORES = "scores/nano-300k/nano-dot"
RUN = "nano-300k_nano-cot_lr3e-5_ep1_bs1"


@pytest.fixture
def instance(tmp_path, monkeypatch):
    monkeypatch.setenv("RSFT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def jobs():
    return {job.name: job for job in defs.get_repository_def().get_all_jobs() if not job.name.startswith("__")}


@pytest.mark.parametrize(
    ("name", "assets"),
    [
        ("refresh_results", {"results", "figures", "report"}),
        ("nano_study", {"audits", "scores", "results", "figures", "report"}),
        ("paper_table_1", {"scores", "results", "figures", "report"}),
    ],
)
def test_a_job_names_what_exists(name, assets):
    config = jobs()[name].run_config["ops"]["rsft_materialize"]["config"]
    runs, steps = tuple(config.get("run", ())), tuple(config.get("step", ()))
    chosen = cells(study, Selection(tuple(config["select"]), runs=runs, steps=steps))
    assert {ref.stage for ref in chosen} == assets
    assert config["upstream"] == (name != "refresh_results")
    if name == "paper_table_1":
        scores = [ref for ref in chosen if ref.stage == "scores"]
        assert {ref.step for ref in scores} == {0, 640} and len({ref.run for ref in scores}) == 3


def test_a_study_has_the_jobs_that_it_can_run():
    own = wide_study()
    assert [job.name for job in declared_jobs(own)] == ["make", "refresh_results"]
    name, run = next(iter(own.runs.items()))
    adopting = replace(own, runs={**own.runs, name: replace(run, adopt=True)})
    job = declared_jobs(adopting)[-1]
    config = job.run_config["ops"]["rsft_materialize"]["config"]
    assert job.name == "score_adopted" and config["run"] == [name] and config["select"][0] == f"scores/{run.model}/*"


def make(instance, *names):
    config = {"ops": {"rsft_materialize": {"config": {"select": list(names)}}}}
    return jobs()["make"].execute_in_process(run_config=config, instance=instance, raise_on_error=False)


@pytest.mark.slow
def test_make_makes_what_is_named_and_links_to_it(instance):
    made = make(instance, "queries/nano-math")
    assert made.success
    assert Store.from_env().current(Ref("queries/nano-math"))
    [output] = [event.step_output_data for event in made.all_events if event.is_successful_output]
    assert {name: value.value for name, value in output.metadata.items()} == {
        "queries/nano-math": "/assets/queries/nano-math"
    }


def test_links_lead_to_the_one_partition_that_was_asked_for():
    asked = MaterializeConfig(select=[SCORES, "report", "results/*"], run=[RUN], step=[40])
    pages = {name: urlsplit(value.value) for name, value in _asset_pages(study, asked).items()}
    assert set(pages) == {SCORES, "report"}
    assert pages[SCORES].path == f"/assets/{SCORES}"
    assert parse_qs(pages[SCORES].query)["partition"] == [str(dagster_key(study, Ref(SCORES, f"{RUN}|40")))]
    several = _asset_pages(study, MaterializeConfig(select=[SCORES], run=[RUN]))
    assert several[SCORES].value == f"/assets/{SCORES}"


def test_make_fails_with_the_words_of_the_command(instance):
    result = make(instance, "queries/nano-chain")
    [failed] = [event for event in result.all_events if event.is_step_failure]
    assert "nano-math" in failed.step_failure_data.user_failure_data.description


def failure_of(result):
    [failed] = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    return failed


def score_without_checkpoint(instance):
    job = defs.get_repository_def().get_implicit_job_def_for_assets([dg.AssetKey(SCORES.split("/"))])
    return job.execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey(SCORES.split("/"))],
        partition_key=dagster_key(study, Ref(SCORES, f"{RUN}|40")),
        raise_on_error=False,
    )


def test_a_score_without_its_checkpoint_leads_to_the_job_that_makes_both(instance):
    failed = failure_of(score_without_checkpoint(instance)).user_failure_data
    address = urlsplit(failed.metadata["make it"].value)
    assert address.path == "/locations/rsft_assets.definitions/jobs/make/playground/setup"
    config = yaml.safe_load(parse_qs(address.query)["config"][0])
    assert dg.validate_run_config(jobs()["make"], config)
    asked = config["ops"]["rsft_materialize"]["config"]
    scores, shown = asked["select"][:1], asked["select"][1:]
    assert shown == ["results/*", "figures/*", "report"]
    chosen = Selection(tuple(scores), runs=tuple(asked["run"]), steps=tuple(asked["step"]))
    assert cells(study, chosen) == [Ref(SCORES, f"{RUN}|40")]
    assert f"make it first: rsft materialize checkpoints/nano-300k --run {RUN} --step 40" in failed.description


def test_the_launchpad_is_that_of_the_runs_code_location_and_names_shards():
    location = SimpleNamespace(location_name="mine")
    origin = SimpleNamespace(repository_origin=SimpleNamespace(code_location_origin=location))
    run = SimpleNamespace(remote_job_origin=origin)
    shards = [Ref("verdicts/nano-math_procedural_n4", key) for key in ("000", "001")]
    address = urlsplit(launchpad_path(run, shards))
    config = yaml.safe_load(parse_qs(address.query)["config"][0])["ops"]["rsft_materialize"]["config"]
    assert address.path.startswith("/locations/mine/jobs/")
    assert config["partition"] == ["000", "001"] and config["select"] == [shards[0].asset]


def test_a_message_for_people_is_recorded_without_a_stack_trace_and_a_bug_with_one(instance, monkeypatch):
    def broken(*_):
        raise ValueError("a bug")

    refused = failure_of(score_without_checkpoint(instance)).error
    assert (refused.stack, refused.cause) == ([], None)
    monkeypatch.setattr(materializing, "asked_refs", broken)
    bug = failure_of(score_without_checkpoint(instance)).error.cause
    assert any("in broken" in line for line in bug.stack)


def recorded(instance, asset, partition=""):
    key = dagster_key(study, Ref(asset, partition)) if partition else None
    instance.report_runless_asset_event(dg.AssetMaterialization(asset.split("/"), partition=key))


def test_only_a_score_whose_checkpoint_is_there_is_asked_for(instance):
    chosen = dg.AssetSelection.assets(SCORES.split("/"))
    recorded(instance, "benchmarks/nano-dot")
    nothing = dg.evaluate_automation_conditions(defs, instance, asset_selection=chosen)
    assert nothing.total_requested == 0
    recorded(instance, "checkpoints/nano-300k", f"{RUN}|40")
    asked = dg.evaluate_automation_conditions(defs, instance, asset_selection=chosen, cursor=nothing.cursor)
    wanted = dagster_key(study, Ref(SCORES, f"{RUN}|40"))
    assert asked.get_requested_partitions(dg.AssetKey(SCORES.split("/"))) == {wanted}
    again = dg.evaluate_automation_conditions(defs, instance, asset_selection=chosen, cursor=asked.cursor)
    assert again.total_requested == 0


def test_sensors_are_off_until_they_are_turned_on():
    sensors = defs.get_repository_def().sensor_defs
    assert {sensor.name for sensor in sensors} == {"refresh_when_behind", "score_new_checkpoints"}
    assert {sensor.default_status for sensor in sensors} == {dg.DefaultSensorStatus.STOPPED}
