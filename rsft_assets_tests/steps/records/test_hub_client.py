"""The real clients against a hub on loopback: what is read, what is refused, and what each fault is answered with."""

import io
import json
import shutil
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.hub import Hub
from rsft_assets.specs.lock import LOCK_SETTING, lock_text
from rsft_assets.steps.records import hub_client
from rsft_assets.steps.records.hub import dataset_rows, model_folder, repository_file
from rsft_assets.steps.records.hub_client import NoAccess, Unavailable, check_access, resolve
from rsft_assets_tests.loopback_hub import TOKEN, LoopbackHub

ROWS = [{"problem": "1+1", "answer": "2"}, {"problem": "2+2", "answer": "4"}]
README = b"""---
configs:
- config_name: default
  data_files: [{split: train, path: data/train-*}]
- config_name: extended
  data_files: [{split: train, path: extended/train-*}]
---
"""
MODEL = {
    "config.json": b"{}",
    "model.safetensors": b"weights" * 1_000,
    "step2/config.json": b"{}",
    "step2/model.safetensors": b"others!" * 1_000,
    ".gitattributes": b"",
}


def parquet(rows):
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


SUMS = {
    "README.md": README,
    "data/train-00000.parquet": parquet(ROWS[:1]),
    "extended/train-00000.parquet": parquet(ROWS[1:]),
    "more.jsonl": b"".join(json.dumps(row).encode() + b"\n" for row in ROWS),
}


@pytest.fixture
def server(monkeypatch, tmp_path):
    with LoopbackHub() as server:
        server.patch(monkeypatch, tmp_path / "cache")
        monkeypatch.delenv("RSFT_MIRROR", raising=False)
        monkeypatch.setenv(LOCK_SETTING, str(tmp_path / "rsft.lock"))
        monkeypatch.setattr(hub_client, "_WAIT_SECONDS", 0.0)
        yield server


def sums(server, **fields):
    commit = server.commit("dataset", "me/sums", SUMS)
    return Hub(**{"repo": "me/sums", "kind": "dataset", "split": "train", "revision": commit, **fields})


def fetched(server):
    return {path.rpartition("/")[2] for method, path in server.requests if method == "GET" and "/resolve/" in path}


def test_a_configuration_is_read_and_no_other_is_fetched(server):
    assert list(dataset_rows(sums(server, config="extended"))) == ROWS[1:]
    assert not any("data/train" in path for method, path in server.requests if method == "GET" and "/cdn/" in path)
    assert list(dataset_rows(sums(server))) == ROWS[:1]


def test_a_file_and_a_model_and_one_folder_of_it(server):
    assert list(dataset_rows(sums(server, file="more.jsonl"))) == ROWS
    model = Hub(repo="me/model", revision=server.commit("model", "me/model", MODEL))
    folder = model_folder(Hub(repo="me/model", revision=model.revision, file="step2"))
    assert (folder / "model.safetensors").read_bytes() == MODEL["step2/model.safetensors"]
    assert not (folder.parent / "model.safetensors").exists()
    assert (model_folder(model) / "model.safetensors").read_bytes() == MODEL["model.safetensors"]


def test_what_was_fetched_is_read_without_a_network(server):
    hub = sums(server, file="more.jsonl")
    assert list(dataset_rows(hub)) == ROWS
    server.fault("", *[500] * 99)
    assert list(dataset_rows(hub)) == ROWS


def test_a_moved_branch_changes_nothing(server):
    hub = sums(server, file="more.jsonl")
    server.commit("dataset", "me/sums", {"more.jsonl": b'{"problem": "other"}\n'})
    assert list(dataset_rows(hub)) == ROWS


def test_what_the_lock_records(server):
    commit = server.commit("model", "me/model", MODEL, gated=True, licence="mit")
    locked = resolve("model", "me/model")
    assert (locked.revision, locked.gated, locked.licence) == (commit, True, "mit")
    assert [file.name for file in locked.files] == sorted(set(MODEL) - {".gitattributes"})
    weights, config = (next(f for f in locked.files if f.name == name) for name in ("model.safetensors", "config.json"))
    assert weights.size == 7_000 and len(weights.sha256) == 64
    assert config.sha256 is None and len(config.git) == 40


@pytest.mark.parametrize("name", ["data/train-00000.parquet", "more.jsonl"])
def test_changed_content_is_refused_and_fetched_anew(server, tmp_path, name):
    hub = sums(server)
    (tmp_path / "rsft.lock").write_text(lock_text([resolve("dataset", "me/sums")]))
    server.fault("more.jsonl" if name.endswith("jsonl") else "/cdn/", None, "changed", "changed")
    with pytest.raises(StepError, match=r"its hash is .* is locked for me/sums@.*--upgrade me/sums"):
        while True:
            repository_file(hub, name)
            shutil.rmtree(tmp_path / "cache" / "hub")
    server._faults.clear()
    assert repository_file(hub, name).read_bytes() == SUMS[name]


def test_gated_with_and_without_a_token(server, monkeypatch, tmp_path):
    hub = Hub(repo="me/harm", kind="dataset", revision=server.commit("dataset", "me/harm", SUMS, gated=True))
    for read in (
        lambda: check_access(hub),
        lambda: repository_file(hub, "more.jsonl"),
        lambda: list(dataset_rows(hub)),
    ):
        with pytest.raises(NoAccess, match=r"no token is set \(HF_TOKEN\); ask for it at .*/datasets/me/harm"):
            read()
    monkeypatch.setenv("HF_TOKEN", "hf_stranger")
    with pytest.raises(NoAccess, match="access has to be granted and the token in HF_TOKEN has none; ask for it at"):
        repository_file(hub, "more.jsonl")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    check_access(hub)
    assert repository_file(hub, "more.jsonl").read_bytes() == SUMS["more.jsonl"]


@pytest.mark.parametrize("fault", [429, 500, 503, "cut"])
def test_a_passing_fault_is_tried_again(server, fault):
    server.fault("train-00000.parquet", fault)
    assert repository_file(sums(server), "data/train-00000.parquet").read_bytes() == SUMS["data/train-00000.parquet"]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        pytest.param(429, r"too many requests \(429\)", marks=pytest.mark.slow),
        (503, r"the hub fails \(503\)"),
        (403, "access has to be granted"),
        ("html", "not a hub's.*proxy"),
    ],
)
def test_a_lasting_fault_is_named(server, fault, words):
    server.fault("", *[fault] * 999)
    for read in (lambda: resolve("dataset", "me/sums"), lambda: repository_file(sums(server), "more.jsonl")):
        with pytest.raises(Unavailable, match=words):
            read()


@pytest.mark.parametrize("status", [400, 404, 410])
def test_a_refused_request_is_not_a_lost_connection(server, status):
    server.fault("/api/", status)
    with pytest.raises(Unavailable, match=r"me/sums@main: the hub refuses the request: .*; check HF_ENDPOINT, and see"):
        resolve("dataset", "me/sums")


def test_the_server_says_how_long_to_wait(server, monkeypatch):
    waited = []
    monkeypatch.setattr(hub_client, "time", SimpleNamespace(sleep=waited.append))
    sums(server)
    server.fault("/api/", 429, 500)
    assert resolve("dataset", "me/sums").files
    assert waited == [1.0, 0.0]


def test_absent_things_are_named(server):
    with pytest.raises(NoAccess, match="no such repository, or a private one"):
        resolve("dataset", "me/nothing")
    with pytest.raises(NoAccess, match=r"no file nothing\.jsonl"):
        repository_file(sums(server), "nothing.jsonl")
    with pytest.raises(StepError, match=r"no such revision; .*rsft lock --upgrade me/sums"):
        repository_file(sums(server, revision="0" * 40), "more.jsonl")
    with pytest.raises(StepError, match="no split 'dev'"):
        list(dataset_rows(sums(server, split="dev")))


def test_no_hub_at_all(server, monkeypatch):
    hub = sums(server)
    server.shutdown()
    server.server_close()
    with pytest.raises(Unavailable, match=r"cannot be reached.*RSFT_MIRROR"):
        resolve("dataset", "me/sums")
    with pytest.raises(Unavailable, match="cannot be reached"):
        repository_file(hub, "more.jsonl")


def test_a_disk_that_is_too_small_is_said_before(server, tmp_path, monkeypatch):
    hub = sums(server)
    (tmp_path / "rsft.lock").write_text(lock_text([resolve("dataset", "me/sums")]))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(hub_client.shutil, "disk_usage", lambda _: usage._replace(free=10))
    with pytest.raises(StepError, match=r"GB to fetch, but .* GB free; .*HF_HOME"):
        repository_file(hub, "more.jsonl")
    assert not any("resolve" in path for _, path in server.requests)
