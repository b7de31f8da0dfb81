"""What finished outputs measured takes the place of reference rates; overlapping work shares its time."""

import dataclasses
import socket

import pytest

from rsft_assets.specs.fingerprint import fingerprint
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.study import load_study
from rsft_assets.steps.questions.planning.amounts import estimate
from rsft_assets.steps.questions.planning.measured import Measured, covered_seconds
from rsft_assets.steps.questions.planning.plan import make_plan
from rsft_assets.steps.questions.planning.quantities import total
from rsft_assets.steps.questions.planning.selection import Selection
from rsft_assets.steps.records.columns import FILES_OF_STAGE
from rsft_assets.steps.records.digest import combined_digest
from rsft_assets.steps.records.manifest import POINTER, FileRecord, InputRecord, Manifest, write_json, write_manifest
from rsft_assets.steps.records.proof import identity_hash
from rsft_assets.steps.records.store import Store

PAPER = load_study()
RUN = "qwen3-14b_math-cot-20k_lr5e-5_ep8_bs256"
OTHER = "qwen3-14b_math-cot-20k_lr5e-5_ep1_bs256"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    for name in ("RSFT_PLACEMENT", "RSFT_JUDGES", "RSFT_STUDY"):
        monkeypatch.delenv(name, raising=False)


def manifest(asset, partition="", *, stats, at=0, seconds=0.0, host="", inputs=(), spec=None):
    spec, inputs = spec or {}, list(inputs)
    if Ref(asset).stage == "completions":
        spec = {"inputs": [[i.asset.split("/")[0], i.digest] for i in inputs]}
        hashed = fingerprint(spec)
    else:
        hashed = identity_hash(spec, ((i.asset, i.partition, i.digest) for i in inputs))
    files = [FileRecord(name.replace("*", "x"), 0, "d" * 64) for name in FILES_OF_STAGE.get(Ref(asset).stage, ())]
    return Manifest(
        asset=asset,
        partition=partition,
        fingerprint=hashed,
        spec=spec,
        inputs=inputs,
        digest=combined_digest({file.path: file.digest for file in files}),
        files=files,
        stats=stats,
        made_by={"host": host or socket.gethostname()},
        finished_at=f"2026-01-01T00:{at:02d}:00+00:00",
        seconds=seconds,
    )


def put(store, entry):
    folder = store.slot(entry.ref) / entry.fingerprint[:12]
    folder.mkdir(parents=True)
    write_manifest(folder, entry)
    for file in entry.files:
        (folder / file.path).touch()
    write_json(folder.parent / POINTER, {"output": folder.name})


def trained(partition, seconds, host=""):
    stats = {"step": 40, "train_seconds": seconds, "set_rows": 10, "set_tokens": 20_000}
    spec = {"schedule": {"batch_size": 256}}
    return manifest("checkpoints/qwen3-14b", partition, stats=stats, spec=spec, host=host)


def planned(store, selection, **how):
    return total(estimate(make_plan(PAPER, store, Selection((selection,), **how), assume_inputs=True)))


def test_training_is_measured_on_another_run_of_the_model(tmp_path):
    store = Store(tmp_path)
    put(store, trained(f"{OTHER}|40", seconds=1_024.0))
    whole = planned(store, "checkpoints/qwen3-14b", runs=[RUN])
    # 40 x 256 rows of 2,000 tokens in 1,024 s: 20,000 tokens a second; the plan has 640 x 256 such rows.
    assert whole.figures["trained_tokens"].value == 640 * 256 * 2_000
    assert whole.figures["gpu_hours"].value == pytest.approx(640 * 256 * 2_000 / 20_000 / 3600)
    assert whole.figures["gpu_hours"].basis == "measured"


def test_eight_processes_take_eight_gpu_hours_an_hour(tmp_path, monkeypatch):
    store = Store(tmp_path)
    put(store, trained(f"{OTHER}|40", seconds=1_024.0))
    one = planned(store, "checkpoints/qwen3-14b", runs=[RUN]).figures["gpu_hours"].value
    (tmp_path / "placement.toml").write_text("[models.qwen3-14b]\nprocesses = 8\nzero_stage = 2\n")
    monkeypatch.setenv("RSFT_PLACEMENT", str(tmp_path / "placement.toml"))
    eight = planned(store, "checkpoints/qwen3-14b", runs=[RUN]).figures["gpu_hours"].value
    assert eight == pytest.approx(8 * one)


def test_this_machine_counts_before_others(tmp_path):
    store = Store(tmp_path)
    put(store, trained(f"{OTHER}|40", seconds=1_000.0, host="elsewhere"))
    assert "another machine" in Measured(PAPER, store).training("qwen3-14b").words
    put(store, trained(f"{RUN}|40", seconds=500.0))
    assert Measured(PAPER, store).training("qwen3-14b").seconds == 500.0


def answers(store, name, benchmark, tokens, at, seconds):
    inputs = [InputRecord("checkpoints/qwen3-14b", f"{OTHER}|40", name, ""), InputRecord("benchmarks/b", "", "b", "")]
    stats = {"completions": 100, "response_tokens": tokens}
    entry = manifest(f"completions/{benchmark}", stats=stats, at=at, seconds=seconds, inputs=inputs)
    folder = store.home / "completions" / benchmark / entry.fingerprint[:12]
    folder.mkdir(parents=True)
    write_manifest(folder, entry)


def test_answers_measure_length_and_speed(tmp_path):
    store = Store(tmp_path)
    # Generated side by side, both over the same minute: 360,000 tokens in 60 s.
    answers(store, "one", "math500", 300_000, at=1, seconds=60.0)
    answers(store, "two", "ifeval", 60_000, at=1, seconds=60.0)
    whole = planned(store, "scores/qwen3-14b/math500", runs=[RUN], steps=[640])
    assert whole.figures["generated_tokens"].value == 500 * 3 * 3_000
    assert whole.figures["gpu_hours"].value == pytest.approx(500 * 3 * 3_000 / 6_000 / 3600)
    assert any("3,000 tokens a response" in words for words in whole.sources)


def test_overlaps_count_once():
    first = manifest("a/b", stats={}, at=2, seconds=60.0)
    assert covered_seconds([first, first]) == 60.0
    assert covered_seconds([first, dataclasses.replace(first, seconds=120.0)]) == 120.0
    apart = manifest("a/b", stats={}, at=9, seconds=30.0)
    assert covered_seconds([apart, first]) == 90.0


def test_a_damaged_manifest_hides_nothing_else(tmp_path):
    store = Store(tmp_path)
    put(store, trained(f"{OTHER}|40", seconds=1_024.0))
    put(store, damaged := trained(f"{OTHER}|20", seconds=1_024.0))
    (store.slot(damaged.ref) / damaged.fingerprint[:12] / "manifest.json").write_text("{")
    assert len(Measured(PAPER, store).manifests("checkpoints/qwen3-14b")) == 1
