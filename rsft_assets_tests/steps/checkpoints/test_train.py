"""A run at its boundaries: what is published, kept, resumed, and refused by name."""

import errno
import json
import re
import shutil

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from rsft_assets.specs.errors import SpecError, StepError
from rsft_assets.specs.lineage import Ref, checkpoint_ref
from rsft_assets.specs.models import Model
from rsft_assets.specs.placement import Placement
from rsft_assets.steps.base_models.make import make_base_model
from rsft_assets.steps.checkpoints.train import train
from rsft_assets.steps.checkpoints.training import saving
from rsft_assets.steps.checkpoints.training import state as states
from rsft_assets.steps.checkpoints.training.engine import MOMENTS, Session
from rsft_assets.steps.checkpoints.training.order import rows_of_step
from rsft_assets.steps.checkpoints.training.text import training_rows
from rsft_assets.steps.records.locks import exclusive
from rsft_assets_tests.steps.checkpoints.tiny import (
    CPU,
    ROWS,
    examples,
    longer,
    publish_inputs,
    the_run,
    tiny_study,
    write_examples,
)


def checkpoint(study, step):
    return checkpoint_ref(the_run(study), step)


def train_to(study, store, *steps, **options):
    return train(study, store, [checkpoint(study, step) for step in steps], placement=CPU, **options)


def weights_digest(output):
    return next(record.digest for record in output.manifest.files if record.path == "model.safetensors")


def resume_folder(store, study):
    return store.slot(Ref("checkpoints/tiny", the_run(study).name)) / ".resume"


def test_every_kept_step_on_the_way_is_published(store, study):
    [last] = train_to(study, store, 4)
    steps = study.steps_of(the_run(study))
    assert steps == (0, 2, 4, 6, 9)
    assert [step for step in steps if store.current(checkpoint(study, step))] == [0, 2, 4]
    assert last == store.require(checkpoint(study, 4))


def test_a_checkpoint_loads_stops_and_says_what_it_saw(store, study):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    [output] = train_to(study, store, 4)
    model = AutoModelForCausalLM.from_pretrained(output.folder)
    tokenizer = AutoTokenizer.from_pretrained(output.folder)
    end = tokenizer.eos_token_id
    assert tokenizer.eos_token == "<|endoftext|>"
    assert (model.config.eos_token_id, model.generation_config.eos_token_id) == (end, end)
    assert model.config.tie_word_embeddings and model.dtype == torch.float32
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": "What is 1+1?"}], add_generation_prompt=True)
    ids = torch.tensor([prompt["input_ids"] if hasattr(prompt, "keys") else prompt])
    assert model.generate(ids, max_new_tokens=3, do_sample=False).shape[1] <= ids.shape[1] + 3
    curves = pq.read_table(output.file("curves.parquet")).to_pylist()
    assert [entry["step"] for entry in curves] == [1, 2, 3, 4]
    assert curves[-1]["loss"] < curves[0]["loss"]
    seen = pq.read_table(output.file("seen.parquet")).to_pylist()
    run = the_run(study)
    assert [entry["row"] for entry in seen] == [
        row for step in (1, 2, 3, 4) for row in rows_of_step(run.schedule, run.seed, ROWS, step)
    ]
    assert output.stats["trained_tokens"] == sum(entry["tokens"] for entry in curves)
    stats = output.stats
    rows = list(training_rows(store.require(Ref("datasets/rows")).file("examples.parquet"), tokenizer))
    tokens = sum(min(len(rows[entry["row"]][0]), 64) - 1 for entry in seen)
    assert stats["tokens_per_second"] * stats["train_seconds"] == pytest.approx(tokens, rel=0.01)
    assert 1 < stats["flops_per_second"] / stats["tokens_per_second"] / 6 / model.num_parameters() < 1.2
    assert stats["card"] == "cpu" and "mfu" not in stats


def test_held_out_rows_give_each_checkpoint_a_loss_that_plain_pytorch_agrees_with(store, study):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    held_out = examples(30)[ROWS:]
    publish_inputs(study, store, held_out=held_out)
    train_to(study, store, 4)
    for step in (2, 4):
        output = store.require(checkpoint(study, step))
        model = AutoModelForCausalLM.from_pretrained(output.folder)
        tokenizer = AutoTokenizer.from_pretrained(output.folder)
        path = write_examples(store.home / "held_out.parquet", held_out)
        total = count = 0
        for ids, prompt in training_rows(path, tokenizer):
            row = torch.tensor(ids[:64])
            logits = model(row[None, :-1]).logits[0, prompt - 1 :]
            total += float(torch.nn.functional.cross_entropy(logits, row[prompt:], reduction="sum"))
            count += len(row) - prompt
        assert output.stats["held_out_loss"] == pytest.approx(total / count, rel=1e-5)
    curves = pq.read_table(output.file("curves.parquet")).to_pylist()
    assert [entry["held_out_loss"] is not None for entry in curves] == [False, True, False, True]
    assert curves[3]["held_out_loss"] == output.stats["held_out_loss"]
    seen = pq.read_table(output.file("seen.parquet"))["query_id"].to_pylist()
    assert not {row["query_id"] for row in held_out} & set(seen)


def test_without_held_out_rows_there_is_no_such_loss(store, study):
    [output] = train_to(study, store, 2)
    assert output.stats["held_out_loss"] is None


def test_a_held_out_loss_that_is_not_finite_stops_before_its_weights_are_kept(store, study, monkeypatch):
    publish_inputs(study, store, held_out=examples(30)[ROWS:])
    train_to(study, store, 2)
    monkeypatch.setattr("rsft_assets.steps.checkpoints.training.loop.held_out", lambda *_: (float("inf"), None))
    with pytest.raises(StepError, match="the held-out loss after step 4 is not finite"):
        train_to(study, store, 4)
    assert [state.step for state in states.saved_states(resume_folder(store, study))] == [2]
    assert store.current(checkpoint(study, 4)) is None


def test_a_limit_that_leaves_nothing_to_train_on_is_refused(store, study):
    short = tiny_study(max_length=2)
    with pytest.raises(StepError, match=r"max_length 2 leaves no response token in any row of datasets/rows"):
        train(short, store, [checkpoint(short, 2)], placement=CPU)
    assert store.current(checkpoint(short, 2)) is None


def test_lengths_cuts_and_the_estimate_are_told_before_it_starts(store, tmp_path, monkeypatch):
    told = tmp_path / "events"
    monkeypatch.setenv("RSFT_EVENTS", str(told))
    study = tiny_study(max_length=20)
    train(study, store, [checkpoint(study, 2)], placement=CPU)
    events = [json.loads(line) for line in told.read_text().splitlines()]
    started = next(place for place, event in enumerate(events) if event["event"] == "progress")
    words = " ".join(event["words"] for event in events[:started] if event["event"] == "note")
    assert re.search(r"rows: 24 rows, .* \(limit 20: \d+ rows lose \d+ tokens", words)
    assert re.search(r"about \d\.\d+ GiB of this machine's free memory, \d\.\d+ GiB of disk", words)


def test_step_0_is_the_base_model_and_the_same_for_every_run(store, study):
    [first] = train_to(study, store, 0)
    base = store.require(Ref("base_models/tiny"))
    assert {r.path: r.digest for r in first.manifest.files} == {r.path: r.digest for r in base.manifest.files}
    other = tiny_study(longer(lr=2e-3))
    [second] = train_to(other, store, 0)
    assert second.digest == first.digest and second.folder != first.folder


def test_a_step_past_the_end_is_skipped_and_one_between_is_a_mistake(store, study, caplog):
    run = the_run(study)
    assert train(study, store, [checkpoint_ref(run, 640)], placement=CPU) == []
    assert f"skipped {checkpoint_ref(run, 640)}: {run.name} ends at step 9" in caplog.text
    with pytest.raises(SpecError, match="step 3 is not kept; kept are 0, 2, 4, 6, 9"):
        train(study, store, [checkpoint_ref(run, 3)], placement=CPU)


def test_what_is_published_is_not_made_again(store, study, monkeypatch):
    [before] = train_to(study, store, 4)
    monkeypatch.setattr("rsft_assets.steps.checkpoints.train.trainer", lambda *_: pytest.fail("trained again"))
    [after] = train_to(study, store, 4)
    assert after == before


def test_a_resumed_run_is_bit_equal_to_one_that_never_stopped(store, study):
    for step in (2, 4, 9):
        train_to(study, store, step)
    parts = [weights_digest(store.require(checkpoint(study, step))) for step in (2, 4, 6, 9)]
    losses = pq.read_table(store.require(checkpoint(study, 9)).file("curves.parquet"))["loss"].to_pylist()
    shutil.rmtree(store.home / "checkpoints")
    [whole] = train_to(study, store, 9)
    assert parts == [weights_digest(store.require(checkpoint(study, step))) for step in (2, 4, 6, 9)]
    assert losses == pq.read_table(whole.file("curves.parquet"))["loss"].to_pylist()


@pytest.mark.slow
def test_the_state_is_kept_until_the_run_is_complete(store, study):
    train_to(study, store, 4)
    assert [state.step for state in states.saved_states(resume_folder(store, study))] == [4]
    train_to(study, store, 9)
    assert states.saved_states(resume_folder(store, study)) == []


@pytest.mark.slow
def test_without_a_state_it_trains_again_but_publishes_only_what_is_missing(store, study):
    train_to(study, store, 4)
    kept = {step: store.require(checkpoint(study, step)).folder for step in (2, 4)}
    shutil.rmtree(resume_folder(store, study))
    [last] = train_to(study, store, 6)
    assert {step: store.require(checkpoint(study, step)).folder for step in (2, 4)} == kept
    assert len(list(store.slot(checkpoint(study, 2)).glob("*/manifest.json"))) == 1
    assert last.stats["step"] == 6


@pytest.mark.slow
def test_a_missing_early_step_is_made_without_losing_the_later_state(store, study):
    train_to(study, store, 4)
    digest = weights_digest(store.require(checkpoint(study, 2)))
    shutil.rmtree(store.slot(checkpoint(study, 2)))
    train_to(study, store, 2)
    assert weights_digest(store.require(checkpoint(study, 2))) == digest
    assert 4 in [state.step for state in states.saved_states(resume_folder(store, study))]


@pytest.mark.slow
def test_force_makes_only_what_was_asked_for_anew(store, study):
    train_to(study, store, 4)
    before = {step: store.require(checkpoint(study, step)) for step in (2, 4)}
    train_to(study, store, 4, force=True)
    after = {step: store.require(checkpoint(study, step)) for step in (2, 4)}
    assert after[2].folder == before[2].folder
    assert after[4].folder != before[4].folder
    assert weights_digest(after[4]) == weights_digest(before[4])


@pytest.mark.slow
def test_a_changed_training_set_is_refused_by_name(store, study):
    train_to(study, store, 4)
    publish_inputs(study, store, examples(word="total"))
    with pytest.raises(StepError, match=r"state saved at step 4 belongs to another training: datasets/rows .* changed"):
        train_to(study, store, 6)
    [output] = train_to(study, store, 6, force=True)
    assert output.stats["step"] == 6


def test_a_training_set_of_another_size_than_declared_is_refused(store, study):
    publish_inputs(study, store, examples(ROWS - 1))
    with pytest.raises(StepError, match="has 23 rows and its spec says 24"):
        train_to(study, store, 2)


def test_a_loss_that_is_not_finite_stops_with_its_rows(store, study, monkeypatch):
    train_to(study, store, 2)
    folder = resume_folder(store, study) / "state-2"
    [state] = states.saved_states(folder.parent)
    part = folder / next(iter(state.files))
    tensors = load_file(part)
    name = next(key for key in tensors if key.startswith("master/") and "norm" in key)
    tensors[name][:] = float("nan")
    save_file(tensors, part)
    monkeypatch.setattr(states, "_checksum", lambda path: state.files[path.name])
    with pytest.raises(StepError, match=r"the loss of step 3 is not finite; rows \d+, .*last good state is kept"):
        train_to(study, store, 4)
    assert [state.step for state in states.saved_states(folder.parent)] == [2]
    assert store.current(checkpoint(study, 4)) is None


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.unlink()
    path.write_bytes(bytes(content))


def test_a_flipped_byte_in_the_base_model_is_found_by_name(store, study):
    flip_a_byte(store.require(Ref("base_models/tiny")).file("model.safetensors"))
    with pytest.raises(StepError, match=r"model\.safetensors has changed since it was made"):
        train_to(study, store, 2)


@pytest.mark.slow
def test_a_flipped_byte_in_the_state_means_starting_over(store, study, caplog):
    train_to(study, store, 4)
    digest = weights_digest(store.require(checkpoint(study, 4)))
    flip_a_byte(next((resume_folder(store, study) / "state-4").glob("*.safetensors")))
    train_to(study, store, 6)
    assert "has changed since it was written" in caplog.text
    assert weights_digest(store.require(checkpoint(study, 4))) == digest


@pytest.mark.slow
def test_a_full_disk_while_saving_leaves_the_last_state_and_checkpoint(store, study, monkeypatch):
    train_to(study, store, 2)
    real = saving.write_json

    def full(path, value):
        if value["step"] == 4:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(path, value)

    monkeypatch.setattr(saving, "write_json", full)
    with pytest.raises(OSError, match="No space left"):
        train_to(study, store, 4)
    assert [state.step for state in states.saved_states(resume_folder(store, study))] == [2]
    store.require(checkpoint(study, 2)).verified()
    monkeypatch.setattr(saving, "write_json", real)
    assert train_to(study, store, 4)[0].stats["step"] == 4


def test_what_cannot_fit_is_refused_with_advice(store, study, monkeypatch):
    monkeypatch.setattr("rsft_assets.steps.checkpoints.training.estimate.free_memory", lambda: 2**20)
    with pytest.raises(StepError, match=r"needs about .* GiB of this machine's free memory.*a lower max_length"):
        train_to(study, store, 2)


def test_a_disk_too_small_is_refused_before_training(store, study, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=10)
    monkeypatch.setattr("rsft_assets.steps.checkpoints.training.estimate.shutil.disk_usage", lambda path: usage)
    with pytest.raises(StepError, match=r"writes about .* set RSFT_HOME to a larger disk"):
        train_to(study, store, 2)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_refused(store, study):
    with pytest.raises(StepError, match="no GPU here"):
        train(study, store, [checkpoint(study, 2)], placement=Placement(device="cuda"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch sees a GPU here")
def test_a_gpu_that_torch_cannot_use_is_no_reason_to_train_a_large_model_on_the_cpu(store, study, monkeypatch):
    """As with a driver too old for torch: the machine lists its GPUs all the same."""
    monkeypatch.setattr("rsft_assets.steps.checkpoints.train.refuse_without_gpu", lambda *_: None)
    monkeypatch.setattr(Model, "runs_on_gpu", True)
    monkeypatch.setattr("rsft_assets.steps.processes.torch_device.gpus", lambda: [("NVIDIA H100", 80 * 2**30)])
    with pytest.raises(StepError, match=r'torch cannot use NVIDIA H100 .*; to use the CPU, set device = "cpu"'):
        train(study, store, [checkpoint(study, 2)], placement=Placement())


def test_pure_bf16_wants_stage_0(store):
    study = tiny_study(longer(precision="bf16-pure"))
    with pytest.raises(StepError, match=r'"bf16-pure" has no master weights, which ZeRO stage 2 cannot do'):
        train(study, store, [checkpoint(study, 2)], placement=Placement(device="cpu", zero_stage=2))


@pytest.mark.slow
def test_pure_bf16_trains_without_anything_in_fp32(store, monkeypatch):
    """Beside bf16 with fp32 master weights: the same run, other weights."""
    seen = {}
    real = Session.apply

    def apply(session, rate):
        gradients = {p.grad.dtype for _, p in session.named_parameters() if p.grad is not None}
        norm = real(session, rate)
        moments = {state[name].dtype for state in session.adam.state.values() for name in MOMENTS}
        weights = {p.dtype for p in session.model.parameters()}
        seen[session.spec.precision] = weights, gradients, moments
        return norm

    monkeypatch.setattr(Session, "apply", apply)
    made = {}
    for precision in ("bf16-pure", "bf16"):
        study = tiny_study(longer(precision=precision))
        publish_inputs(study, store)
        [made[precision]] = train_to(study, store, 9)
    half = {torch.bfloat16}
    assert seen["bf16-pure"] == (half, half, half)
    assert seen["bf16"][2] == {torch.float32}
    losses = pq.read_table(made["bf16-pure"].file("curves.parquet"))["loss"].to_pylist()
    assert losses[-1] < losses[0]
    pure, kept = (load_file(output.file("model.safetensors")) for output in made.values())
    assert {tensor.dtype for tensor in pure.values()} == {tensor.dtype for tensor in kept.values()} == half
    assert any(not torch.equal(pure[name], kept[name]) for name in kept)


def test_a_second_trainer_waits_and_says_for_whom(store, study, caplog, monkeypatch, tmp_path):
    monkeypatch.setenv("RSFT_EVENTS", str(tmp_path / "events"))
    monkeypatch.setattr("rsft_assets.steps.records.locks._SAY_AFTER_SECONDS", 0.0)
    monkeypatch.setattr("rsft_assets.steps.records.locks.time.sleep", lambda s: (_ for _ in ()).throw(TimeoutError))
    with (
        exclusive(resume_folder(store, study) / ".lock", "x"),
        pytest.raises(TimeoutError),
    ):
        train_to(study, store, 2)
    words = f"the training of {the_run(study).name} is locked by process"
    assert words in caplog.text
    assert words in (tmp_path / "events").read_text()


def test_an_adopted_base_model_tells_where_it_is_from(store, study):
    manifest = store.require(Ref("base_models/tiny")).manifest
    assert manifest.origin == "adopted"
    assert manifest.adopted_from["repo"] == "test/tiny"
    assert make_base_model(study, store, Ref("base_models/tiny"), placement=CPU).manifest == manifest
