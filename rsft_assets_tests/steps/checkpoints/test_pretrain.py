"""Base models made here: from scratch, resumable, with a held-out loss."""

import dataclasses
import json
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
import torch

from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.models import Model
from rsft_assets.specs.study import combine
from rsft_assets.steps.base_models import pretrain, probes
from rsft_assets.steps.base_models.make import make_base_model
from rsft_assets.steps.base_models.new_model import new_qwen3
from rsft_assets.steps.checkpoints.training import loop, saving
from rsft_assets.steps.checkpoints.training.process import optimisation_of
from rsft_assets.steps.checkpoints.training.work import FromScratch
from rsft_assets.steps.records.store import Store
from rsft_assets_tests.steps.checkpoints.test_train import weights_digest
from rsft_assets_tests.steps.checkpoints.tiny import CPU, SMALL

BASE = Ref("base_models/small")


@pytest.fixture
def study(monkeypatch):
    monkeypatch.setattr(pretrain, "cores", lambda: 1)
    # The skills of these models are of no interest, and 200 answers to each take longer than the training.
    monkeypatch.setattr(probes, "ASKED", 4)
    return study_of(SMALL)


def study_of(spec):
    model = Model(name="small", family="qwen3", parameters=50_000, origin=spec, needs_gpu=False)
    tables = {name: [] for name in ("sources", "pools", "datasets", "runs", "benchmarks")}
    return combine([("nano", {"models": [model], **tables})])


def killed(*_, **__):
    raise KeyboardInterrupt


def test_a_base_model_is_made_and_loads(tmp_path, study):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    output = make_base_model(study, Store(tmp_path), BASE, placement=CPU)
    model = AutoModelForCausalLM.from_pretrained(output.folder)
    tokenizer = AutoTokenizer.from_pretrained(output.folder)
    assert (model.config.eos_token_id, model.generation_config.eos_token_id) == (tokenizer.eos_token_id,) * 2
    assert output.stats["parameters"] == sum(p.numel() for p in model.parameters())
    assert 3.0 < output.stats["held_out_loss"] < 6.2
    curves = pq.read_table(output.file("curves.parquet")).to_pylist()
    assert [entry["step"] for entry in curves] == list(range(1, 9))
    assert curves[-1]["loss"] < curves[0]["loss"]
    assert not any(record.path.startswith((".", "start", "tokens")) for record in output.manifest.files)
    assert not (tmp_path / "base_models/small/.resume").exists()


@pytest.mark.slow
def test_precision_is_the_specs_whatever_the_machine_has(tmp_path, study, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: True)
        assert optimisation_of(SimpleNamespace(ref=BASE, study=study)).precision == "fp32"
    studies = study, study_of(dataclasses.replace(SMALL, precision="bf16"))
    single, mixed = (make_base_model(of, Store(tmp_path), BASE, placement=CPU) for of in studies)
    assert single.folder != mixed.folder and weights_digest(single) != weights_digest(mixed)


@pytest.mark.slow
def test_an_interrupted_pretraining_goes_on_bit_equal(tmp_path, study, monkeypatch):
    whole = make_base_model(study, Store(tmp_path / "whole"), BASE, placement=CPU)
    real = loop._one_step

    def fails_at_six(session, work, bounds, step, *rest):
        if step == 6:
            raise KeyboardInterrupt
        return real(session, work, bounds, step, *rest)

    monkeypatch.setattr(saving, "_SAVE_EVERY_SECONDS", -1.0)
    monkeypatch.setattr(saving, "_SAVE_SHARE", float("inf"))
    monkeypatch.setattr(loop, "_one_step", fails_at_six)
    with pytest.raises(KeyboardInterrupt):
        make_base_model(study, Store(tmp_path / "parts"), BASE, placement=CPU)
    monkeypatch.setattr(loop, "_one_step", real)
    parts = make_base_model(study, Store(tmp_path / "parts"), BASE, placement=CPU)
    assert weights_digest(parts) == weights_digest(whole)
    assert pq.read_table(parts.file("curves.parquet"))["loss"] == pq.read_table(whole.file("curves.parquet"))["loss"]


@pytest.mark.slow
def test_another_spec_does_not_start_from_what_a_killed_try_left(tmp_path, study, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pretrain, "_tokens", killed)
        make_base_model(study, Store(tmp_path), BASE, placement=CPU)
    wider = study_of(dataclasses.replace(SMALL, hidden=64))
    output = make_base_model(wider, Store(tmp_path), BASE, placement=CPU)
    assert json.loads(output.file("config.json").read_text())["hidden_size"] == 64


@pytest.mark.slow
def test_a_kill_while_leftovers_are_deleted_costs_no_model(tmp_path, study, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pretrain, "forget", killed)
        make_base_model(study, Store(tmp_path), BASE, placement=CPU)
    monkeypatch.setattr(loop, "_one_step", killed)
    make_base_model(study, Store(tmp_path), BASE, placement=CPU).verified()


def test_documents_are_used_once_and_fill_each_step(tmp_path, study):
    base = pretrain._random_model(SMALL, tmp_path / "start")
    tokens = pretrain.Tokens.load(pretrain._tokens(SMALL, base, tmp_path)[0])
    work = FromScratch("small", SMALL, tokens)
    rows = [work.rows(step) for step in range(1, SMALL.steps + 1)]
    assert [row for step in rows for row in step] == list(range(sum(map(len, rows))))
    filled = [sum(len(tokens.row(row)) for row in step) for step in rows]
    assert all(abs(count - SMALL.batch_tokens) <= SMALL.context for count in filled)


def test_a_new_model_depends_on_its_seed_alone():
    specs = [dataclasses.replace(SMALL, seed=seed) for seed in (1, 1, 2)]
    first, again, other = (new_qwen3(spec, vocabulary=50, end=0).state_dict() for spec in specs)
    name = "model.layers.0.mlp.up_proj.weight"
    assert first[name].equal(again[name]) and not first[name].equal(other[name])
