"""Dagster's launchpad places one run: the op, its steps and the job `make` use the fields that are set there."""

import os
import re
from pathlib import Path

import dagster as dg
import pytest
import yaml

import rsft_assets
from rsft_assets.defs import materializing
from rsft_assets.defs.code_location import defs
from rsft_assets.defs.placing import PLACEMENT_RESOURCE
from rsft_assets.specs.placement import FIELDS_SETTING, Placement

KEY = "queries/nano-math"
DOCS = Path(rsft_assets.__file__).parent / "docs"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("RSFT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "placement.toml").write_text("[default]\nprocesses = 2\nthreads = 2\n")
    monkeypatch.setenv("RSFT_PLACEMENT", str(tmp_path / "placement.toml"))
    monkeypatch.delenv(FIELDS_SETTING, raising=False)


def run(job, fields, **given):
    config = {"resources": {"placement": {"config": fields}}, **given.pop("config", {})}
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(instance=instance, run_config=config, raise_on_error=False, **given)
    assert FIELDS_SETTING not in os.environ
    return result


def stage_job():
    return defs.get_repository_def().get_implicit_job_def_for_assets([dg.AssetKey(KEY.split("/"))])


def message(result):
    [failed] = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    return failed.user_failure_data.description


def test_a_run_is_placed_by_its_launchpad_over_the_file(monkeypatch):
    seen = []

    def launch(placement, call):
        seen.append((placement, call.command, os.environ.get(FIELDS_SETTING)))
        return iter(())

    monkeypatch.setattr(materializing, "launch", launch)
    for fields in ({"threads": 3}, {}):
        run(stage_job(), fields, asset_selection=[dg.AssetKey(KEY.split("/"))])
    [(placed, command, given), (usual, plain, none)] = seen
    assert (placed, usual) == (Placement(processes=2, threads=3), Placement(processes=2, threads=2))
    assert (given, none) == ('{"threads": 3}', None)
    assert f"{FIELDS_SETTING}='{given}' python -m" in command and FIELDS_SETTING not in plain


def test_a_wrong_choice_is_refused_with_the_valid_ones():
    words = message(run(stage_job(), {"engine": "vlm"}, asset_selection=[dg.AssetKey(KEY.split("/"))]))
    assert "field engine: 'vlm' is not one of auto, transformers, vllm, endpoint" in words


def test_the_job_make_passes_its_placement_on():
    job = next(job for job in defs.get_repository_def().get_all_jobs() if job.name == "make")
    words = message(run(job, {"engine": "vlm"}, config={"ops": {"rsft_materialize": {"config": {"select": [KEY]}}}}))
    assert "field engine: 'vlm' is not one of" in words


def test_every_field_of_a_placement_can_be_set():
    fields = type(PLACEMENT_RESOURCE["placement"]).model_fields
    assert fields.keys() == Placement.__dataclass_fields__.keys()
    assert fields["engine"].description.endswith("one of auto, transformers, vllm, endpoint")


def test_the_run_config_of_the_page_on_placement_is_valid():
    [block] = re.findall(r"```yaml\n(.*?)```", (DOCS / "placement.md").read_text(), re.DOTALL)
    job = defs.get_repository_def().get_implicit_job_def_for_assets([dg.AssetKey(["checkpoints", "qwen3-14b"])])
    assert dg.validate_run_config(job, yaml.safe_load(block))


def test_the_page_on_placement_names_every_field():
    page = (DOCS / "placement.md").read_text()
    assert [name for name in Placement.__dataclass_fields__ if f"`{name}`" not in page] == []
