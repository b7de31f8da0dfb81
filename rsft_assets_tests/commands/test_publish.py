"""`rsft publish` through the command and the real client to a hub on loopback, and adoption from it elsewhere."""

import json

import pytest

from rsft_assets_tests import hub_user
from rsft_assets_tests.loopback_hub_commits import OWNER_TOKEN, WritableHub

RUN, STEP = "nano-300k_nano-cot_lr3e-5_ep1_bs1", "20"
BENCHMARKS = ("math-test", "countdown-test", "dot", "facts", "format", "refusal", "alternating", "above")
STUDY = """
extends = "nano"
[override.sources.nano-math]
count = 96
[override.datasets.nano-cot]
rows = 32
held_out = 8
[override.models.nano-300k]
steps = 2
gate = []
held_out_documents = 8
""" + "".join(f"[override.benchmarks.nano-{name}]\nitems = 6\ncount = 6\n" for name in BENCHMARKS)
ADOPTING = f"""
[adopt_datasets]
"nano-cot" = {{ repo = "lab/nano-cot" }}
[adopt."{RUN}"]
repo = "lab/{RUN}"
"""
CHOSEN = ("datasets/nano-cot", "checkpoints/nano-300k", "--run", RUN, "--step", STEP)


@pytest.fixture
def hub():
    with WritableHub() as hub:
        yield hub


class Home(hub_user.Home):
    """With the study that is published, or another."""

    def __init__(self, folder, hub, study=STUDY):
        super().__init__(folder, hub, study)

    def manifest(self, asset, *partition):
        slot = self.folder.joinpath("home", *asset.split("/"), *partition)
        return json.loads(
            (slot / json.loads((slot / "current.json").read_text())["output"] / "manifest.json").read_text()
        )


def test_wrong_use_is_answered_before_anything_is_asked(hub, tmp_path):
    home = Home(tmp_path / "home", hub)
    assert "Missing option '--to'" in home.rsft("publish", "results", status=2)
    assert "--to 'a/b': name a user or an organisation" in home.rsft("publish", "results", "--to", "a/b", status=2)
    said = home.rsft("publish", "benchmarks/nano-dot", "--to", "lab", status=2)
    assert "only datasets, checkpoints and results are published; select these" in said
    said = home.rsft("publish", *CHOSEN, "--to", "lab", "--yes", status=1)
    assert "left out checkpoints/nano-300k: 1 not made yet" in said and "nothing can be published" in said
    assert hub.requests == []


@pytest.mark.slow
def test_what_one_publishes_another_adopts_with_the_same_digests(hub, tmp_path):
    ours = Home(tmp_path / "ours", hub)
    ours.rsft("materialize", *CHOSEN, "--upstream")
    ours.rsft("materialize", "audits/nano-math_procedural_n4")
    said = ours.rsft("publish", *CHOSEN, "--to", "lab")
    assert "dataset lab/nano-cot: datasets/nano-cot, 4 files" in said and f"step{STEP}/model.safetensors" in said
    assert "nothing was sent; to send it, add --yes" in said and hub.requests == []
    assert "HF_TOKEN is not set" in ours.rsft("publish", *CHOSEN, "--to", "lab", "--yes", status=1)
    said = ours.rsft("publish", *CHOSEN, "--to", "lab", "--yes", token=OWNER_TOKEN)
    assert [(kind, name) for kind, name, _ in hub.commits] == [("dataset", "lab/nano-cot"), ("model", f"lab/{RUN}")]
    assert said.count("sent   http://") == 2
    audit = ours.manifest("audits/nano-math_procedural_n4")["stats"]["second_opinion"]["undecided"]
    card = hub.content_of("dataset", "lab/nano-cot")["README.md"].decode()
    assert f"| {audit['value']:.4f} | {audit['low']:.4f} to {audit['high']:.4f} | {audit['tries']} |" in card
    said = ours.rsft("publish", *CHOSEN, "--to", "lab", "--yes", "--json", token=OWNER_TOKEN)
    answer = json.loads(said[said.index("{") : said.rindex("}") + 1])
    assert [one["equal"] for one in answer["publications"]] == [True, True] and len(hub.commits) == 2

    theirs = Home(tmp_path / "theirs", hub, STUDY + ADOPTING)
    theirs.rsft("materialize", *CHOSEN, "--upstream")
    assert not (theirs.folder / "home" / "base_models").exists(), "nothing was trained"
    for asset, *partition in (("datasets/nano-cot",), ("checkpoints/nano-300k", RUN, STEP)):
        made, adopted = ours.manifest(asset, *partition), theirs.manifest(asset, *partition)
        digests = [{one["path"]: one["digest"] for one in manifest["files"]} for manifest in (made, adopted)]
        assert digests[0] == digests[1] and made["digest"] == adopted["digest"], asset
        assert adopted["origin"] == "adopted" and adopted["adopted_from"]["repo"].startswith("lab/")
    assert "curves" not in adopted["stats"] and "rows_seen" not in adopted["stats"]
    said = theirs.rsft("publish", *CHOSEN, "--to", "lab", status=1)
    assert (
        f"left out datasets/nano-cot: adopted from lab/nano-cot@{hub.repositories[('dataset', 'lab/nano-cot')].head}"
        in said
    )
