"""What `rsft doctor` says of the placement and its devices."""

import pytest

from rsft_assets.specs.errors import StepError
from rsft_assets.steps.processes import hardware
from rsft_assets.steps.questions.doctor import examine
from rsft_assets.steps.records.store import Store


def refused(placement):
    raise StepError("the cluster does not see this home")


def cluster(placement):
    return hardware.Capabilities(place="the cluster", gpus=(("H100", 80 << 30),), cores=64, memory=512 << 30, slots=4)


def findings(folder, capabilities):
    return {finding.what: finding for finding in examine(Store(folder), capabilities)}


def test_devices_are_those_of_the_launcher(tmp_path, monkeypatch):
    monkeypatch.setattr(hardware, "gpus", lambda: ())
    found = findings(tmp_path, cluster)
    assert (found["gpu"].state, found["gpu"].words) == ("ok", "H100 80 GiB")
    assert "64 cores, 512 GiB of memory, steps at a time: 4" in found["placement"].words


@pytest.mark.parametrize(
    ("text", "capabilities", "words"),
    [
        ('[default]\nlauncher = "ray"\n', cluster, "'ray' is not available yet; use 'local'"),
        ("", refused, "the cluster does not see this home"),
    ],
)
def test_a_launcher_that_cannot_be_used_is_a_problem(tmp_path, monkeypatch, text, capabilities, words):
    (tmp_path / "placement.toml").write_text(text)
    monkeypatch.setenv("RSFT_PLACEMENT", str(tmp_path / "placement.toml"))
    found = findings(tmp_path, capabilities)["RSFT_PLACEMENT"]
    assert found.state == "problem" and words in found.words
