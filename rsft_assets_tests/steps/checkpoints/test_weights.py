"""Loss weights: what the authors' 8 GPUs would compute, from lengths alone."""

import random

import pytest

from rsft_assets.specs.errors import StepError
from rsft_assets.steps.checkpoints.training.weights import row_weights


def authors_loss(losses: list[list[float]], micro: int) -> float:
    """Their loop, as it runs: sampler stride 8, mean in a micro-batch, sum over them, mean over GPUs."""
    per_gpu = []
    for gpu in range(8):
        mine = losses[gpu::8]
        total = 0.0
        for start in range(0, len(mine), micro):
            tokens = [value for row in mine[start : start + micro] for value in row]
            total += sum(tokens) / len(tokens)
        per_gpu.append(total)
    return sum(per_gpu) / 8


@pytest.mark.parametrize(("batch", "micro"), [(256, 4), (256, 2), (32, 4), (64, 3)])
def test_authors_weights_give_their_loss(batch, micro):
    chance = random.Random(batch + micro)
    losses = [[chance.random() for _ in range(chance.randint(1, 40))] for _ in range(batch)]
    weights = row_weights("authors", [len(row) for row in losses], micro)
    ours = sum(weight * sum(row) for weight, row in zip(weights, losses, strict=True))
    assert ours == pytest.approx(authors_loss(losses, micro), rel=1e-12)


def test_authors_gradient_is_eight_times_a_mean_at_256_rows():
    assert sum(w * 10 for w in row_weights("authors", [10] * 256, 4)) == pytest.approx(8.0)
    assert sum(w * 10 for w in row_weights("authors", [10] * 256, 2)) == pytest.approx(16.0)
    assert sum(w * 10 for w in row_weights("authors", [10] * 32, 4)) == pytest.approx(1.0)


def test_token_mean_weighs_each_token_alike_and_cut_rows_not_at_all():
    assert row_weights("token-mean", [1, 0, 3], 4) == [0.25] * 3
    assert row_weights("token-mean", [0, 0], 4) == [0.0, 0.0]


def test_a_batch_that_eight_gpus_cannot_share_is_refused():
    with pytest.raises(StepError, match="batch_size 12 does not divide over the 8 GPUs"):
        row_weights("authors", [1] * 12, 4)
