"""Tables that are behind the outputs are said to be, wherever numbers are read."""

import shutil

import dagster as dg
import pytest

from rsft_assets.commands.pages import index, marked
from rsft_assets.defs.code_location import defs
from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.processes.hardware import this_machine
from rsft_assets.steps.questions.doctor import examine
from rsft_assets.steps.questions.tracing.tables import of_table
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.report.write import check_report, make_report
from rsft_assets.steps.results.behind import behind
from rsft_assets.steps.results.build import build_results
from rsft_assets_tests.finished_study import make

RUN = "tiny-1m_tiny-cot_lr1e-3_ep4_bs16"
BENCHMARK, SCORE = Ref("benchmarks/tiny-dot"), Ref("scores/tiny-1m/tiny-dot", f"{RUN}|40")


def places(study, store):
    """What each of the places that show numbers says of the tables."""
    doctor = [f.words for f in examine(store, lambda placement: this_machine()) if f.what == "tables"]
    return {
        "doctor": doctor[0],
        "check": " ".join(finding.words for finding in check_report(study, store)),
        "trace": str(of_table(study, store, "marts.coverage", "").facts),
        "index": index(store),
        "served": marked(b"<h1>Report</h1><p>", store).decode(),
        "report": make_report(study, store).file("tiny.html").read_text(),
    }


@pytest.mark.slow
def test_every_place_says_that_tables_are_behind_and_by_how_much(study, copied_report):
    assert [place for place, said in places(study, copied_report).items() if "outputs behind" in said] == []
    make(study, copied_report, BENCHMARK, force=True, version=2)
    make(study, copied_report, SCORE)
    words = "tables are 2 outputs behind: rsft report"
    assert behind(copied_report) == words
    assert [place for place, said in places(study, copied_report).items() if words not in said] == []
    build_results(study, copied_report)
    assert [place for place, said in places(study, copied_report).items() if "outputs behind" in said] == []


@pytest.mark.slow
def test_what_is_gone_counts_and_what_cannot_be_read_does_not_count_for_ever(study, copied):
    shutil.rmtree(copied.slot(SCORE))
    assert behind(copied) == "tables are 1 output behind: rsft report"
    manifest = copied.require(Ref("scores/tiny-1m/tiny-dot", f"{RUN}|20")).folder / "manifest.json"
    manifest.write_text("{")
    build_results(study, copied)
    assert behind(copied) == ""


@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "folder", "dangling"])
def test_a_damaged_pointer_is_named_beside_what_is_behind(study, copied, damage):
    pointer = copied.slot(SCORE) / "current.json"
    content = pointer.read_text()
    pointer.unlink()
    if damage == "folder":
        pointer.mkdir()
    elif damage == "dangling":
        pointer.symlink_to("nowhere.json")
    elif damage != "gone":
        pointer.write_text("" if damage == "empty" else content[: len(content) // 2])
    said = behind(copied)
    assert said.startswith("tables are 1 output behind: rsft report; ")
    assert str(pointer.relative_to(copied.home)) in said and str(copied.home) not in said
    assert said in [finding.words for finding in check_report(study, copied)]


def test_the_sensor_asks_for_a_build_while_tables_are_behind_and_none_is_at_work(study, copied, monkeypatch):
    monkeypatch.setenv("RSFT_HOME", str(copied.home))
    [sensor] = [one for one in defs.get_repository_def().sensor_defs if one.name == "refresh_when_behind"]
    with dg.DagsterInstance.ephemeral() as instance:

        def asked():
            context = dg.build_sensor_context(instance=instance)
            return [type(one).__name__ for one in sensor(context)]

        assert asked() == ["SkipReason"]
        shutil.rmtree(copied.slot(SCORE))
        assert asked() == ["RunRequest"]
        job = defs.get_job_def("refresh_results")
        instance.create_run_for_job(job, run_config=job.run_config, status=dg.DagsterRunStatus.STARTED)
        assert asked() == ["SkipReason"]


@pytest.mark.parametrize("made", [False, True])
def test_a_home_without_tables_is_not_behind(tmp_path, study, made):
    if made:
        make(study, Store(tmp_path), Ref("queries/tiny-sums"))
    assert behind(Store(tmp_path)) == ""
