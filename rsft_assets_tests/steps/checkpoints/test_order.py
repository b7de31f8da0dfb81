"""Order and learning rate: pure functions of spec and step."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsft_assets.specs.training import Schedule
from rsft_assets.steps.checkpoints.training.order import learning_rate, rows_of_step

SCHEDULE = Schedule(lr=1.0, epochs=2, batch_size=4)


@given(rows=st.integers(4, 60), seed=st.integers(0, 5))
def test_each_epoch_uses_each_row_at_most_once_and_another_order(rows, seed):
    steps = rows // 4
    epochs = [
        [row for step in range(1 + e * steps, 1 + (e + 1) * steps) for row in rows_of_step(SCHEDULE, seed, rows, step)]
        for e in (0, 1)
    ]
    for used in epochs:
        assert len(set(used)) == len(used) == steps * 4
        assert set(used) <= set(range(rows))
    assert rows < 12 or epochs[0] != epochs[1]


def test_the_shuffled_order_is_fixed_for_ever():
    assert rows_of_step(SCHEDULE, 1, 20, 1) == [10, 5, 16, 11]
    assert rows_of_step(SCHEDULE, 2, 20, 1) != rows_of_step(SCHEDULE, 1, 20, 1)


def test_file_order_repeats_every_epoch_and_leaves_the_rest_out():
    schedule = replace(SCHEDULE, order="file")
    assert [rows_of_step(schedule, 1, 10, step) for step in (1, 2, 3)] == [[0, 1, 2, 3], [4, 5, 6, 7], [0, 1, 2, 3]]


@given(rows=st.integers(8, 60), seed=st.integers(2, 5))
def test_another_seed_permutes_the_file_once(rows, seed):
    schedule = replace(SCHEDULE, order="file")
    steps = rows // 4
    epochs = [[rows_of_step(schedule, seed, rows, e * steps + step) for step in range(1, steps + 1)] for e in (0, 1)]
    assert epochs[0] == epochs[1]
    used = [row for batch in epochs[0] for row in batch]
    assert len(set(used)) == len(used) and set(used) <= set(range(rows))
    assert epochs[0] != [rows_of_step(schedule, 1, rows, step) for step in range(1, steps + 1)]
    assert epochs[0] != [rows_of_step(schedule, seed + 1, rows, step) for step in range(1, steps + 1)]


def test_the_permutation_of_a_seed_is_fixed_for_ever():
    assert rows_of_step(replace(SCHEDULE, order="file"), 2, 20, 1) == rows_of_step(SCHEDULE, 2, 20, 1)


@pytest.mark.parametrize(
    ("decay", "step", "rate"),
    [
        ("cosine", 1, 0.0),
        ("cosine", 33, 0.5),
        ("cosine", 65, 1.0),
        ("cosine", 353, 0.5),
        ("cosine", 640, 7.4e-6),
        ("constant", 33, 0.5),
        ("constant", 65, 1.0),
        ("constant", 640, 1.0),
    ],
)
def test_learning_rate_of_640_steps(decay, step, rate):
    assert learning_rate(replace(SCHEDULE, decay=decay), 640, step) == pytest.approx(rate, rel=0.01, abs=1e-12)


def test_warmup_is_a_tenth_rounded_down():
    rates = [learning_rate(SCHEDULE, 39, step) for step in range(1, 6)]
    assert rates[:4] == pytest.approx([0, 1 / 3, 2 / 3, 1.0])
    assert learning_rate(SCHEDULE, 9, 1) == 1.0
