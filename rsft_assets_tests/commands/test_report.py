"""`rsft report`: the pages that it names."""

import shutil

import pytest

from rsft_assets.commands import report
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.report.write import make_report
from rsft_assets.steps.results.build import build_results
from rsft_assets_tests.finished_study import finish, tiny_study


@pytest.mark.slow
def test_pages_of_studies_with_scores_are_named(tmp_path, monkeypatch, capsys):
    study, store = tiny_study(), Store(tmp_path)
    finish(study, store)
    build_results(study, store)
    make_report(study, store)
    monkeypatch.setenv("RSFT_HOME", str(tmp_path))
    monkeypatch.setattr(report, "load_study", lambda: study)
    monkeypatch.setattr(report, "run_plan", lambda store, plan: (0, [], ""))

    def named():
        assert report.run_report(check=False, as_json=False) == 0
        return [line.rpartition("/")[2] for line in capsys.readouterr().out.split()]

    assert named() == ["tiny.html"]
    shutil.rmtree(tmp_path / "scores")
    assert named() == ["paper.html", "tiny.html"]
