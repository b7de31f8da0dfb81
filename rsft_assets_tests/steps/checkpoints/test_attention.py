"""A packed row gives the logits that it gives alone, and the loss is that of whole logits."""

import numpy as np
import pytest
import torch

from rsft_assets.steps.checkpoints.training import attention
from rsft_assets.steps.checkpoints.training import loss as losses
from rsft_assets.steps.checkpoints.training.loss import LossHead, Trainee
from rsft_assets.steps.checkpoints.training.packing import micro_batch
from rsft_assets_tests.steps.checkpoints.tiny import tiny_model


def rows_of(lengths):
    chance = np.random.default_rng(3)
    return [chance.integers(1, 600, size=length) for length in lengths]


LAYOUTS = [(2, 9, 33, 5, 40, 8), (17,), (12, 12, 12), (2, 3, 2, 64)]


@pytest.mark.parametrize("lengths", LAYOUTS)
def test_packed_logits_equal_those_of_rows_alone(lengths):
    rows = rows_of(lengths)
    model = tiny_model().eval()
    with torch.no_grad():
        alone = [model(torch.tensor(row[:-1])[None]).logits[0] for row in rows]
        assert attention.install(model)
        micro = micro_batch(rows, [0] * len(rows), [1.0] * len(rows), device="cpu")
        together = model.lm_head(Trainee(model).hidden(micro))
    assert torch.cat(alone).std() > 0.5
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)


def test_a_change_in_one_row_is_not_seen_by_the_others():
    rows = rows_of((20, 20, 20))
    model = tiny_model().eval()
    attention.install(model)
    trainee = Trainee(model)

    def hidden(rows):
        with torch.no_grad():
            return trainee.hidden(micro_batch(rows, [0] * 3, [1.0] * 3, device="cpu"))

    before = hidden(rows)
    rows[1] = rows[1][::-1].copy()
    after = hidden(rows)
    assert torch.equal(before[:19], after[:19]) and torch.equal(before[38:], after[38:])
    assert not torch.equal(before[19:38], after[19:38])


def test_an_attention_mask_is_refused_since_it_would_leak():
    model = tiny_model()
    attention.install(model)
    with pytest.raises(ValueError, match="no attention mask"):
        attention.confined_attention(None, *(torch.zeros(1, 1, 4, 8),) * 3, torch.ones(1, 1, 4, 4))


@pytest.mark.parametrize("chunk", [1, 7, 10_000])
def test_chunked_loss_equals_whole_logits(chunk, monkeypatch):
    torch.manual_seed(0)
    matrix = torch.nn.Parameter(torch.randn(50, 16, dtype=torch.float64).float())
    hidden = torch.randn(23, 16, requires_grad=True)
    targets, weights = torch.randint(0, 50, (23,)), torch.rand(23)
    whole = torch.nn.functional.cross_entropy(hidden @ matrix.T, targets, reduction="none")
    expected = torch.autograd.grad((whole * weights).sum() * 3, (hidden, matrix))
    monkeypatch.setattr(losses, "CHUNK_LOGITS", 50 * chunk)
    weighted, sums = LossHead(matrix)(hidden, targets, weights)
    found = torch.autograd.grad(weighted * 3, (hidden, matrix))
    assert float(sums[0]) == pytest.approx(float(whole.sum().detach()), rel=1e-6)
    entropy = torch.distributions.Categorical(logits=(hidden @ matrix.T).detach()).entropy()
    assert float(sums[1]) == pytest.approx(float(entropy.sum()), rel=1e-5)
    assert float(weighted.detach()) == pytest.approx(float((whole * weights).sum().detach()), rel=1e-6)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
