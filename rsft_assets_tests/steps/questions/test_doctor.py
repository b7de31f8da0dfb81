"""The doctor reads every file that a setting names."""

import pytest

from rsft_assets.specs.study import _load
from rsft_assets.steps.questions.doctor import examine
from rsft_assets.steps.records.store import Store

FILES = {
    "RSFT_STUDY": ("[schedules.s]\nlr = 1e-4\nepochs = 1\nbatch_size = 8\n", "models", "[schedules.s]\nlr = '3'\n"),
    "RSFT_PLACEMENT": ("[models.nano-300k]\nthreads = 2\n", "1 model", "[models.nano-300]\nthreads = 2\n"),
    "RSFT_JUDGES": ('[harm]\nendpoint = "http://x/v1"\nmodel = "m-1"\n', "harm by m-1", '[harm]\nmodel = "m-1"\n'),
}


@pytest.fixture
def findings(tmp_path, monkeypatch):
    for setting in FILES:
        monkeypatch.delenv(setting, raising=False)

    def examined():
        _load.cache_clear()
        return {finding.what: finding for finding in examine(Store(tmp_path / "home"))}

    yield examined
    _load.cache_clear()


def test_without_files_all_three_are_well(findings):
    assert {setting: findings()[setting].state for setting in FILES} == dict.fromkeys(FILES, "ok")


@pytest.mark.parametrize("setting", FILES)
def test_each_file_is_read(setting, findings, tmp_path, monkeypatch):
    good, words, bad = FILES[setting]
    path = tmp_path / "file.toml"
    monkeypatch.setenv(setting, str(path))
    path.write_text(good)
    found = findings()[setting]
    assert found.state == "ok" and str(path) in found.words and words in found.words
    path.write_text(bad)
    found = findings()[setting]
    assert found.state == "problem" and str(path) in found.words
