"""Sending to a hub on loopback through the real client: one commit, nothing twice, and a word on every refusal."""

import huggingface_hub
import pytest

from rsft_assets.specs.errors import StepError
from rsft_assets.steps.publish.publication import Publication
from rsft_assets.steps.publish.send import send, writing_token
from rsft_assets_tests.loopback_hub_commits import OWNER_TOKEN, READER_TOKEN, WritableHub

CARD = b"---\ntags: []\n---\n# card\n"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with WritableHub() as hub:
        hub.patch(monkeypatch, tmp_path / "cache", OWNER_TOKEN)
        huggingface_hub.utils.disable_progress_bars()
        yield hub


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"weights" * 1_000)
    return path


def run_of(weights, *steps, **fields):
    files = {f"step{step}/{name}": content for step in steps for name, content in {
        "config.json": b"{}", "model.safetensors": weights, "curves.parquet": b"curves of %d" % step,
    }.items()}  # fmt: skip
    return Publication("a run", "model", "lab/run", {"README.md": CARD, "lineage.json": b"{}", **files}, **fields)


def test_one_commit_and_nothing_where_it_is_equal(hub, weights):
    found = run_of(weights, 1, 2)
    commit = send(found, OWNER_TOKEN)
    assert commit == f"{hub.url}/lab/run/commit/{hub.repositories[('model', 'lab/run')].head}"
    assert hub.commits == [("model", "lab/run", sorted(found.files))]
    there = hub.content_of("model", "lab/run")
    assert there["step2/model.safetensors"] == weights.read_bytes() and there["README.md"] == CARD
    assert send(run_of(weights, 1, 2), OWNER_TOKEN) is None and len(hub.commits) == 1
    assert ("model", "lab/run") not in hub.private


def test_another_step_and_a_new_card_join_the_repository(hub, weights):
    send(run_of(weights, 1), OWNER_TOKEN)
    more = run_of(weights, 1, 2)
    more.files["README.md"] = CARD + b"two steps\n"
    send(more, OWNER_TOKEN)
    assert hub.commits[1][2] == [
        "README.md", "step2/config.json", "step2/curves.parquet", "step2/model.safetensors",
    ]  # fmt: skip
    with pytest.raises(StepError, match=r"lab/run holds other content: step2/config\.json.*Select these steps, too"):
        send(run_of(weights, 1), OWNER_TOKEN)


def test_other_content_is_never_replaced(hub, weights, tmp_path):
    hub.commit("dataset", "lab/run", {"mine.csv": b"1"})
    hub.commit("model", "lab/run", {"README.md": b"my own model", "config.json": b"{}"})
    with pytest.raises(StepError, match=r"holds other content: README\.md, config\.json; nothing was sent.*/lab/run$"):
        send(run_of(weights, 1), OWNER_TOKEN)
    hub.repositories.clear()
    send(run_of(weights, 1), OWNER_TOKEN)
    retrained = tmp_path / "other.safetensors"
    retrained.write_bytes(b"others!" * 1_000)
    with pytest.raises(StepError, match=r"holds other content: step1/model\.safetensors; nothing was sent"):
        send(run_of(retrained, 1), OWNER_TOKEN)
    assert len(hub.commits) == 1


def test_results_take_the_place_of_an_earlier_build(hub):
    def results(**files):
        named = {f"marts/{name}.parquet": content for name, content in files.items()}
        return Publication(
            "results", "dataset", "ann/r", {"README.md": CARD, "lineage.json": b"{}", **named}, grows=True
        )

    send(results(scores=b"1", old=b"1"), OWNER_TOKEN, private=True)
    send(results(scores=b"2"), OWNER_TOKEN)
    there = hub.content_of("dataset", "ann/r")
    assert {name for name in there if "marts" in name} == {"marts/scores.parquet"}
    assert there["marts/scores.parquet"] == b"2"
    assert ("dataset", "ann/r") in hub.private


def test_tokens(hub, weights, monkeypatch):
    assert writing_token("lab") == OWNER_TOKEN
    with pytest.raises(StepError, match=r"--to them: HF_TOKEN is of ann, who can write to ann, lab"):
        writing_token("them")
    with pytest.raises(StepError, match=r"lab/run: nothing was published: HF_TOKEN may not write here \(403\); give"):
        send(run_of(weights, 1), READER_TOKEN)
    monkeypatch.setenv("HF_TOKEN", "hf_expired")
    with pytest.raises(StepError, match=r"HF_TOKEN is not accepted \(401\); make a new token: http.*/settings/tokens"):
        writing_token("lab")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(StepError, match="HF_TOKEN is not set; make a token that may write, and set it: http"):
        writing_token("lab")
    assert hub.repositories == {}


@pytest.mark.parametrize(
    ("part", "faults", "words"),
    [
        ("/commit/main", [500], r"the hub fails \(500\); run it again later: what was uploaded is not sent twice"),
        ("/commit/main", [412], r"the repository has changed meanwhile \(412\); run it again"),
        ("/commit/main", [429], r"too many requests \(429\)"),
        ("/lfs/", [400], "check the network and HF_ENDPOINT"),
        ("/api/repos/create", [403], r"HF_TOKEN may not write here \(403\)"),
        ("/api/models/lab/run", ["html"], "check the network and HF_ENDPOINT"),
    ],
)
def test_a_failure_publishes_nothing_and_the_next_run_everything(hub, weights, part, faults, words):
    hub.fault(part, *faults)
    with pytest.raises(StepError, match=f"^lab/run: nothing was published: .*{words}"):
        send(run_of(weights, 1), OWNER_TOKEN)
    assert hub.commits == []
    uploaded = len(hub.uploaded)
    before = sum(method == "PUT" for method, _ in hub.requests)
    assert send(run_of(weights, 1), OWNER_TOKEN) is not None
    sent = sum(method == "PUT" for method, _ in hub.requests) - before
    assert sent == 2 - uploaded and len(hub.commits) == 1


def test_a_commit_of_another_in_between_is_not_overwritten(hub, weights, monkeypatch):
    send(run_of(weights, 1), OWNER_TOKEN)
    create = huggingface_hub.HfApi.create_commit

    def late(*arguments, **settings):
        hub.commit("model", "lab/run", {**hub.content_of("model", "lab/run"), "theirs": b""})
        return create(*arguments, **settings)

    monkeypatch.setattr(huggingface_hub.HfApi, "create_commit", late)
    with pytest.raises(StepError, match=r"the repository has changed meanwhile \(412\)"):
        send(run_of(weights, 1, 2), OWNER_TOKEN)
    assert "theirs" in hub.content_of("model", "lab/run")
