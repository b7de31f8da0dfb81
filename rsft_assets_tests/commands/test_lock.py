"""`rsft lock`, first use and `--frozen`, through the command and the real clients, against a hub on loopback."""

import json

import pytest

from rsft_assets.specs.lock import read_lock
from rsft_assets_tests import hub_user
from rsft_assets_tests.loopback_hub import TOKEN, LoopbackHub
from rsft_assets_tests.steps.data_study import mirror_parquet
from rsft_assets_tests.steps.published_layouts import aime24, gpqa_diamond, math500

MATH500, GPQA, AIME = "HuggingFaceH4/MATH-500", "Idavidrein/gpqa", "HuggingFaceH4/aime_2024"
STUDY = """
[override.benchmarks.math500]
items = 4
[override.benchmarks.aime24]
items = 3
[override.benchmarks.gpqa_diamond]
items = 3
"""
ALL = ("benchmarks/math500", "benchmarks/aime24", "benchmarks/gpqa_diamond")


@pytest.fixture
def hub(tmp_path):
    with LoopbackHub() as hub:
        for lay_out in (math500, aime24, gpqa_diamond):
            lay_out(tmp_path / "published")
        hub.mirror(tmp_path / "published")
        hub.repositories[("dataset", GPQA)].gated = True
        yield hub


class Home(hub_user.Home):
    """With the study whose repositories are locked."""

    def __init__(self, folder, hub):
        super().__init__(folder, hub, STUDY)
        self.lock = folder / "rsft.lock"

    def manifests(self):
        """Asset -> manifest in use."""
        found = {}
        for pointer in (self.folder / "home").rglob("current.json"):
            manifest = pointer.parent / json.loads(pointer.read_text())["output"] / "manifest.json"
            made = json.loads(manifest.read_text())
            found[made["asset"]] = made
        return found


@pytest.fixture
def home(tmp_path, hub):
    return Home(tmp_path / "home", hub)


def head(hub, name):
    return hub.repositories[("dataset", name)].head


@pytest.mark.slow
def test_a_lock_from_nothing(home, hub):
    said = home.rsft("plan", *ALL)
    assert said.splitlines()[1].startswith("blocked: 3 repositories have no revision: ") and MATH500 in said
    said = home.rsft("lock", ALL[0], "--upstream", "--check", status=1)
    assert f"not locked: dataset {MATH500}" in said and "run: rsft lock 'benchmarks/math500'" in said
    assert not home.lock.exists()
    assert "24 of 24 repositories are not locked; run: rsft lock" in home.rsft("lock", "--check", status=1)
    home.rsft("lock", ALL[2])
    assert f"blocked: {GPQA} is gated: ask for access at {hub.url}/datasets/{GPQA} and set HF_TOKEN" in home.rsft(
        "plan", ALL[2]
    )
    assert "blocked" not in home.rsft("plan", ALL[2], token=TOKEN)
    home.lock.unlink()
    home.rsft("lock", ALL[0])
    ((_, locked),) = read_lock(home.lock).items()
    assert (locked.name, locked.revision) == (MATH500, head(hub, MATH500))
    assert [file.name for file in locked.files] == ["test.jsonl"]
    asked = len(hub.requests)
    home.rsft("lock", ALL[0], "--check")
    home.rsft("lock", ALL[0])
    assert len(hub.requests) == asked, "what is locked is not asked for again"


@pytest.mark.slow
def test_a_moved_branch_until_upgrade(home, hub, tmp_path):
    home.rsft("lock", ALL[0])
    before = head(hub, MATH500)
    hub.commit("dataset", MATH500, {"test.jsonl": b'{"problem": "1+1", "answer": "2"}\n'})
    home.rsft("lock", ALL[0])
    assert read_lock(home.lock)[("dataset", MATH500)].revision == before
    said = home.rsft("lock", ALL[0], "--upgrade", MATH500)
    assert f"locked dataset {MATH500} at {head(hub, MATH500)}" in said
    assert read_lock(home.lock)[("dataset", MATH500)].revision == head(hub, MATH500)
    assert "reads no such repository" in home.rsft("lock", ALL[0], "--upgrade", AIME, status=2)
    (home.folder / "study.toml").write_text(STUDY + f'[pins]\n"{MATH500}" = "{"a" * 40}"\n')
    assert "its revision is declared" in home.rsft("lock", ALL[0], "--upgrade", MATH500, status=2)
    (home.folder / "study.toml").write_text(STUDY + f'[pins]\n"{MATH500}" = "{before}"\n')
    home.rsft("lock", ALL[0])
    said = home.rsft("lock", ALL[0], "--upgrade", MATH500, status=2)
    assert "its revision is declared" in said, "also where the lock has the same one"


@pytest.mark.slow
def test_what_cannot_be_locked_is_answered_in_words(home, hub):
    asked = len(hub.requests)
    for words in (["lock", ALL[0]], ["doctor", "--hub", ALL[0]]):
        assert "RSFT_MIRROR_ONLY=1: the hub is not asked" in home.rsft(*words, status=1, RSFT_MIRROR_ONLY="1")
    (home.folder / "mirror").mkdir()
    only = {"RSFT_MIRROR": "mirror", "RSFT_MIRROR_ONLY": "1"}
    assert f"blocked: the mirror lacks {MATH500}; put it there" in home.rsft("plan", ALL[0], **only)
    assert "1 no access" in home.rsft("materialize", ALL[0], **only)
    assert len(hub.requests) == asked and not home.lock.exists()
    said = home.rsft("lock", ALL[0], status=2, RSFT_LOCK="/proc/rsft.lock")
    assert "/proc/rsft.lock: " in said and "RSFT_LOCK" in said and "Traceback" not in said
    (home.folder / "study.toml").write_text(STUDY.replace("items = 4", 'items = 4\nrepo = "a/b/c"'))
    said = home.rsft("lock", *ALL[:2], status=1)
    assert "'a/b/c' is not the name of a repository, owner/name" in said and "Traceback" not in said
    assert [name for _, name in read_lock(home.lock)] == [AIME], "what could be resolved is kept"
    assert [path.name for path in home.folder.iterdir() if "lock" in path.name] == ["rsft.lock"]


@pytest.mark.slow
def test_first_use_frozen_and_no_access(home, hub, tmp_path):
    for frozen in ({"RSFT_FROZEN": "1"}, {}):
        said = home.rsft("materialize", *ALL, *([] if frozen else ["--frozen"]), status=1, **frozen)
        assert "frozen: 3 repositories have no revision" in said
        assert all(name in said for name in (MATH500, GPQA, AIME))
        assert "rsft lock 'benchmarks/math500' 'benchmarks/aime24' 'benchmarks/gpqa_diamond'" in said
    said = home.rsft("materialize", *ALL)
    assert f"locked dataset {MATH500} at {head(hub, MATH500)}" in said
    assert "benchmarks: 2 made, 1 no access" in said and "benchmarks/gpqa_diamond: no access" in said
    assert f"{hub.url}/datasets/{GPQA}" in said
    said = home.rsft("materialize", ALL[2], token=TOKEN)
    assert "benchmarks/gpqa_diamond: 1 made" in said
    made = home.manifests()
    assert made["benchmarks/gpqa_diamond"]["stats"]["items"] == 3
    # Another machine with this lock alone has the same identity, however the branches moved.
    hub.commit("dataset", MATH500, {"test.jsonl": b"{}\n"})
    other = Home(tmp_path / "other", hub)
    other.lock.write_text(home.lock.read_text())
    other.rsft("materialize", *ALL, "--frozen", token=TOKEN)
    theirs = other.manifests()
    for asset in ALL:
        assert (theirs[asset]["fingerprint"], theirs[asset]["digest"]) == (
            made[asset]["fingerprint"],
            made[asset]["digest"],
        )


@pytest.mark.slow
def test_what_a_mirror_holds_has_the_same_identity_on_the_hub(home, hub, tmp_path):
    """From the mirror without a network, then the same files from the hub, then others there and in the mirror."""
    asset, mirror = ALL[0], home.folder / "mirror"
    math500(mirror)
    only = {"RSFT_MIRROR": "mirror", "RSFT_MIRROR_ONLY": "1"}
    assert f"1 repository has no revision: {MATH500}" in home.rsft("materialize", asset, "--frozen", status=1, **only)
    said = home.rsft("materialize", asset, **only)
    locked = read_lock(home.lock)[("dataset", MATH500)]
    assert f"locked dataset {MATH500} at {locked.revision}" in said and locked.revision.startswith("content-")
    assert hub.requests == [] and locked.commit is None and [file.name for file in locked.files] == ["test.jsonl"]
    home.rsft("lock", asset, "--check", **only)
    said = home.rsft("materialize", *ALL[:2], RSFT_MIRROR="mirror")
    assert f"locked dataset {AIME} at {head(hub, AIME)}" in said, "what the mirror has not comes from the hub"
    assert hub.requests and not any(MATH500 in path for _, path in hub.requests)
    mirrored = home.manifests()[asset]

    other = Home(tmp_path / "other", hub)
    other.lock.write_text(home.lock.read_text())
    assert f"frozen: 1 repository has no file hashes in the lock: {MATH500}" in other.rsft(
        "materialize", asset, "--frozen", status=1
    )
    said = other.rsft("materialize", asset)
    assert f"locked dataset {MATH500} at {locked.revision}, commit {head(hub, MATH500)} of the hub" in said
    assert read_lock(other.lock)[("dataset", MATH500)].commit == head(hub, MATH500)
    fetched = other.manifests()[asset]
    assert (fetched["fingerprint"], fetched["digest"]) == (mirrored["fingerprint"], mirrored["digest"])
    other.rsft("materialize", asset, "--frozen")
    assert '"yes"' in other.rsft("doctor", "--hub", asset, "--json")

    hub.commit("dataset", MATH500, {"test.jsonl": b'{"problem": "1+1", "answer": "2"}\n'})
    said = home.rsft("lock", asset, status=1)
    assert "has not the content that is locked from a mirror (test.jsonl differs)" in said
    assert f"rsft lock --upgrade {MATH500}" in said
    (mirror / MATH500 / "test.jsonl").write_text('{"problem": "1+1", "answer": "2"}\n')
    assert "replace it, or accept another revision" in home.rsft("materialize", asset, "--force", status=1, **only)
    home.rsft("lock", asset, "--upgrade", MATH500, **only)
    assert read_lock(home.lock)[("dataset", MATH500)].revision not in (locked.revision, head(hub, MATH500))
    home.rsft("lock", asset, "--upgrade", MATH500)
    assert read_lock(home.lock)[("dataset", MATH500)].revision == head(hub, MATH500)


@pytest.mark.slow
def test_doctor_asks_the_hub(home, hub):
    said = home.rsft("doctor", "--hub", *ALL, status=1)
    assert MATH500 in said and " yes" in said
    assert f"ask for it at {hub.url}/datasets/{GPQA}" in said.replace("\n", "")
    rows = json.loads(home.rsft("doctor", "--hub", *ALL, "--json", token=TOKEN))
    assert {row["repository"]: row["access"] for row in rows} == dict.fromkeys((MATH500, GPQA, AIME), "yes")
    assert {row["date"] for row in rows} == {"2026-01-02"}
    table, _, below = home.rsft("doctor", "--hub", *ALL, status=1, COLUMNS="80").partition("no access: ")
    assert all(len(line) <= 80 for line in table.splitlines())
    (line,) = [line for line in table.splitlines() if GPQA in line]
    assert line.split()[2:] == ["2026-01-02", "0.0", "MB", "no"] and below.startswith(f"{GPQA}@main: access has to be")
    hub.fault("/api/datasets/", *["html"] * 9)
    hub.requests.clear()
    said = home.rsft("doctor", "--hub", *ALL, status=1)
    assert said.count("not asked, since the hub did not answer") == 2
    assert [path for _, path in hub.requests if "/datasets/" in path] == [f"/api/datasets/{MATH500}"]


@pytest.mark.slow
def test_a_published_set_under_our_name_with_what_can_be_had(home, hub):
    rows = [
        {"question": f"What is {n} plus 1?", "answer": str(n + 1), "response": f"It is \\boxed{{{n + 1}}}."}
        for n in range(256)
    ]
    mirror_parquet(home.folder / "theirs", "jasonrqh/Math-NoCoT-20k", "train.parquet", rows)
    hub.mirror(home.folder / "theirs")
    adopted = '[adopt_datasets]\n"math-nocot-20k" = {}\n[override.datasets.math-nocot-20k]\nrows = 256\n'
    (home.folder / "study.toml").write_text(STUDY + adopted)
    said = home.rsft("materialize", "datasets/math-nocot-20k", "--upstream")
    assert "done   datasets/math-nocot-20k: 1 made" in said
    made = home.manifests()["datasets/math-nocot-20k"]
    assert (made["origin"], made["stats"]["rows"]) == ("adopted", 256)
    assert made["adopted_from"]["revision"] == head(hub, "jasonrqh/Math-NoCoT-20k")
    checked = made["stats"]["decontamination"]
    assert sorted(checked["checked"]) == ["aime24", "math500"] and len(checked["unchecked"]) == 8
