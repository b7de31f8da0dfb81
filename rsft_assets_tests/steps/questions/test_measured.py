"""What finished outputs measured takes the place of reference rates; overlapping work shares its time."""

import dataclasses
import socket

import pytest

from rsft_assets.specs.fingerprint import fingerprint
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.rates import training_mfu
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
QWEN3_14B = PAPER.models["qwen3-14b"]
H100 = "NVIDIA H100 80GB HBM3"
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


def trained(partition, seconds, host="", model="qwen3-14b", at=0, processes=0, **stats):
    stats = {"step": 40, "train_seconds": seconds, "set_rows": 10, "set_tokens": 20_000, **stats}
    spec = {"schedule": {"batch_size": 256}}
    made = manifest(f"checkpoints/{model}", partition, stats=stats, spec=spec, host=host, at=at)
    if processes:
        made.made_by["placement"] = {"processes": processes}
    return made


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
    assert "another machine" in Measured(PAPER, store).training(QWEN3_14B).words
    put(store, trained(f"{RUN}|40", seconds=500.0))
    assert Measured(PAPER, store).training(QWEN3_14B).seconds == 500.0


def cards_here(monkeypatch, *names):
    monkeypatch.setattr("rsft_assets.steps.questions.planning.measured.gpus", lambda: tuple((n, 1) for n in names))
    monkeypatch.setattr("rsft_assets.steps.questions.planning.costs.gpus", lambda: tuple((n, 1) for n in names))


def seconds_of(store, model=QWEN3_14B):
    found = Measured(PAPER, store).training(model)
    return found and found.seconds


def test_a_rate_is_that_of_this_machine_s_card(tmp_path, monkeypatch):
    store = Store(tmp_path)
    put(store, trained(f"{OTHER}|40", seconds=1_000.0, host="node-a", card=H100, at=1))
    put(store, trained(f"{RUN}|40", seconds=500.0, host="node-b", card="NVIDIA B200", at=2))
    cards_here(monkeypatch, H100)
    assert seconds_of(store) == 1_000.0
    words = planned(store, "checkpoints/qwen3-14b", runs=[RUN]).sources
    assert f"training: 20,480 tokens a second, measured on {H100}" in words
    cards_here(monkeypatch, "NVIDIA B200")
    assert seconds_of(store) == 500.0
    cards_here(monkeypatch)  # plans are often made where no card is
    assert seconds_of(store) == 500.0, "the last one"


def test_a_card_without_a_measurement_has_the_reference_rate(tmp_path, monkeypatch):
    store = Store(tmp_path)
    put(store, trained(f"{OTHER}|40", seconds=1_000.0, card=H100))
    cards_here(monkeypatch, "NVIDIA L40S")
    whole = planned(store, "checkpoints/qwen3-14b", runs=[RUN])
    tokens = whole.figures["trained_tokens"].value
    by_hand = 6 * 14.77e9 * tokens / (training_mfu(14_770_000_000).value * 362e12) / 3600
    assert whole.figures["gpu_hours"].value == pytest.approx(by_hand)
    assert whole.figures["gpu_hours"].basis == "assumed"
    assert any("NVIDIA L40S: 362 TFLOP/s" in words for words in whole.sources)


def test_the_last_run_counts_as_faster_code_made_it(tmp_path):
    store = Store(tmp_path)
    put(store, trained(f"{OTHER}|40", seconds=1_000.0, at=1))
    put(store, trained(f"{RUN}|40", seconds=500.0, at=2))
    assert seconds_of(store) == 500.0


def test_training_on_a_processor_says_nothing_about_a_card(tmp_path):
    store = Store(tmp_path)
    put(store, trained(f"{OTHER}|40", seconds=90_000.0, card="cpu"))
    assert seconds_of(store) is None


def test_a_model_of_the_same_size_is_measured_too(tmp_path):
    store = Store(tmp_path)
    other = next(run for run in PAPER.runs.values() if run.model == "qwen2.5-14b")
    put(store, trained(f"{other.name}|40", seconds=700.0, model="qwen2.5-14b", at=9))
    assert seconds_of(store) == 700.0
    assert seconds_of(store, PAPER.models["qwen3-1.7b"]) is None
    put(store, trained(f"{OTHER}|40", seconds=1_000.0, at=1))
    assert seconds_of(store) == 1_000.0, "its own runs come first"


def test_gpu_hours_are_those_of_the_processes_that_were_measured(tmp_path, monkeypatch):
    store = Store(tmp_path)
    put(store, trained(f"{OTHER}|40", seconds=1_024.0, processes=4))
    whole = planned(store, "checkpoints/qwen3-14b", runs=[RUN])
    assert whole.figures["gpu_hours"].value == pytest.approx(4 * 640 * 256 * 2_000 / 20_000 / 3600)


def test_answers_are_measured_on_the_last_engine(tmp_path, monkeypatch):
    store = Store(tmp_path)
    vllm = {"engine": "vllm", "device": H100, "tensor_parallel": 2}
    answers(store, "one", "math500", 300_000, at=1, seconds=60.0, engine={"engine": "transformers", "device": H100})
    answers(store, "two", "ifeval", 600_000, at=3, seconds=60.0, engine=vllm)
    cards_here(monkeypatch, H100)
    found = Measured(PAPER, store).answering(QWEN3_14B)
    assert (found.per_second, found.width) == (10_000.0, 2)
    cards_here(monkeypatch, "NVIDIA L40S")
    assert Measured(PAPER, store).answering(QWEN3_14B) is None


def answers(store, name, benchmark, tokens, at, seconds, engine=None):
    inputs = [InputRecord("checkpoints/qwen3-14b", f"{OTHER}|40", name, ""), InputRecord("benchmarks/b", "", "b", "")]
    stats = {"completions": 100, "response_tokens": tokens}
    entry = manifest(f"completions/{benchmark}", stats=stats, at=at, seconds=seconds, inputs=inputs)
    entry.made_by.update({"engine": engine} if engine else {})
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
