"""The doctor reads every file that a setting names, and asks each launcher for its devices."""

import pytest

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.study import _load
from rsft_assets.steps.processes import hardware
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
        return {finding.what: finding for finding in examine(Store(tmp_path / "home"), cluster)}

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


def test_how_much_is_locked(findings, tmp_path, monkeypatch):
    monkeypatch.setenv("RSFT_LOCK", str(tmp_path / "rsft.lock"))
    found = findings()["RSFT_LOCK"]
    # Six base models and the teacher are in the package's own lock.
    assert (
        found.state == "note" and "7 of 24 repositories have a revision; resolve the others: rsft lock" in found.words
    )
    (tmp_path / "rsft.lock").write_text("repository = 3")
    assert findings()["RSFT_LOCK"].state == "problem"


def refused(placement):
    raise StepError("the cluster does not see this home")


def cluster(placement):
    gpus, machines = (("H100", 80 << 30),), ("one: 64 cores, 1 GPUs (1 x H100 80 GiB)",)
    return hardware.Capabilities(place="the cluster", gpus=gpus, cores=64, memory=512 << 30, slots=4, machines=machines)


def findings_with(folder, capabilities):
    return {finding.what: finding for finding in examine(Store(folder), capabilities)}


def test_devices_are_those_of_the_launcher(tmp_path, monkeypatch):
    monkeypatch.setattr(hardware, "gpus", lambda: ())
    found = findings_with(tmp_path, cluster)
    assert (found["gpu"].state, found["gpu"].words) == ("ok", "H100 80 GiB")
    assert "64 cores, 512 GiB of memory, steps at a time: 4" in found["launcher local"].words
    assert found["node"].words == "one: 64 cores, 1 GPUs (1 x H100 80 GiB)"


def test_a_launcher_that_cannot_be_used_is_a_problem(tmp_path):
    found = findings_with(tmp_path, refused)["launcher local"]
    assert found.state == "problem" and "the cluster does not see this home" in found.words
