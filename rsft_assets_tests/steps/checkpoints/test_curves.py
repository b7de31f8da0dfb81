"""Entropy and divergence from the base in the curves, against plain PyTorch."""

import pyarrow.parquet as pq
import pytest
import torch
from torch.nn.functional import kl_div

from rsft_assets.specs.lineage import checkpoint_ref
from rsft_assets.steps.checkpoints.train import train
from rsft_assets.steps.checkpoints.training.checkpoints import write_curves
from rsft_assets.steps.checkpoints.training.order import rows_of_step
from rsft_assets.steps.checkpoints.training.text import training_rows
from rsft_assets_tests.steps.checkpoints.tiny import (
    CPU,
    ROWS,
    examples,
    publish_inputs,
    the_run,
    write_examples,
)


def train_to(study, store, step):
    return train(study, store, [checkpoint_ref(the_run(study), step)], placement=CPU)[0]


def curves_of(output):
    return pq.read_table(output.file("curves.parquet")).to_pylist()


@torch.no_grad()
def log_probabilities(output, rows, path):
    """Of the next token at every response token of some rows, (tokens, vocabulary)."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(output.folder)
    tokenizer = AutoTokenizer.from_pretrained(output.folder)
    found = []
    for ids, prompt in training_rows(write_examples(path, rows), tokenizer):
        row = torch.tensor(ids[:64])
        found.append(model(row[None, :-1]).logits[0, prompt - 1 :].log_softmax(-1))
    return torch.cat(found)


def test_the_entropy_of_the_first_step_is_that_of_the_base(store, study):
    curves = curves_of(train_to(study, store, 2))
    run = the_run(study)
    rows = [examples()[row] for row in rows_of_step(run.schedule, run.seed, ROWS, 1)]
    chances = log_probabilities(store.require(checkpoint_ref(run, 0)), rows, store.home / "first.parquet")
    entropy = torch.distributions.Categorical(logits=chances).entropy().mean()
    assert curves[0]["entropy"] == pytest.approx(float(entropy), rel=1e-5)
    assert 0 < curves[1]["entropy"] != curves[0]["entropy"]


def test_the_divergence_from_the_base_is_that_of_plain_pytorch(store, study):
    held_out = examples(30)[ROWS:]
    publish_inputs(study, store, held_out=held_out)
    last = train_to(study, store, 4)
    curves = curves_of(last)
    assert [entry["base_kl"] is not None for entry in curves] == [False, True, False, True]
    base, *kept = (
        log_probabilities(store.require(checkpoint_ref(the_run(study), step)), held_out, store.home / "held.parquet")
        for step in (0, 2, 4)
    )
    for step, chances in zip((2, 4), kept, strict=True):
        divergence = kl_div(base, chances, log_target=True, reduction="sum") / len(base)
        assert curves[step - 1]["base_kl"] == pytest.approx(float(divergence), rel=1e-4) != 0


@pytest.mark.slow
def test_a_base_that_does_not_fit_beside_costs_the_divergence_and_nothing_else(store, study, monkeypatch):
    publish_inputs(study, store, held_out=examples(30)[ROWS:])
    beside = train_to(study, store, 2)
    monkeypatch.setattr("rsft_assets.steps.checkpoints.training.process.fits_beside", lambda *_: False)
    alone = train(study, store, [checkpoint_ref(the_run(study), 2)], force=True, placement=CPU)[0]
    curves = curves_of(alone)
    assert [entry["base_kl"] for entry in curves] == [None, None]
    assert curves[1]["held_out_loss"] > 0
    assert alone.digest == beside.digest


@pytest.mark.slow
def test_a_step_made_again_has_the_curves_of_those_before_it(store, study):
    publish_inputs(study, store, held_out=examples(30)[ROWS:])
    first = train_to(study, store, 6)
    again = train(study, store, [checkpoint_ref(the_run(study), 6)], force=True, placement=CPU)[0]
    assert [entry["base_kl"] is not None for entry in curves_of(again)] == [False, True] * 3
    assert again.digest == first.digest


def test_a_training_resumed_from_a_state_of_an_earlier_version_has_no_entropy_there(tmp_path):
    entry = {"step": 1, "epoch": 0.1, "loss": 2.0, "grad_norm": 1.0, "lr": 1e-3, "tokens": 5, "seconds": 0.1}
    entry["held_out_loss"] = None
    write_curves(tmp_path / "curves.parquet", [entry, entry | {"step": 2, "entropy": 0.5, "base_kl": None}])
    assert pq.read_table(tmp_path / "curves.parquet")["entropy"].to_pylist() == [None, 0.5]
