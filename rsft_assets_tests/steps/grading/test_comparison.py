"""Paired differences: exact on small cases, and their intervals hold the truth."""

import random

import pytest

from rsft_assets.specs.errors import StepError
from rsft_assets.steps.grading.comparison import ItemScore, compare, paired
from rsft_assets.steps.records.rows import RowWriter


def scores(values):
    return {str(i): ItemScore(value) for i, value in enumerate(values)}


def test_difference_and_counts():
    found = paired(scores([0, 0, 1, 1]), {**scores([1, 0, 1, 0.5]), "new": ItemScore(1.0)})
    assert (found.difference, found.items, found.better, found.worse) == (0.125, 4, 1, 1)
    assert (found.only_a, found.only_b) == (0, 1)


def test_what_is_hard_for_both_cancels_out():
    chance = random.Random(1)
    first = [float(chance.random() < 0.5) for _ in range(200)]
    second = [value if i % 20 else 1.0 for i, value in enumerate(first)]
    same_items = paired(scores(first), scores(second))
    assert same_items.high - same_items.low < 0.1


def test_never_different_is_not_certainly_equal():
    found = paired(scores([1.0] * 50), scores([1.0] * 50))
    assert found.difference == 0
    assert -0.1 < found.low < -0.01


@pytest.mark.parametrize(("items", "gain"), [(40, 0.0), (200, 0.1), (100, 0.3)])
def test_95_in_100_intervals_hold_the_truth(items, gain):
    chance, hits = random.Random(3), 0
    for _ in range(400):
        base = [chance.choice((0.1, 0.6)) for _ in range(items)]
        first = [float(chance.random() < rate) for rate in base]
        second = [float(chance.random() < rate + gain) for rate in base]
        found = paired(scores(first), scores(second))
        hits += found.low <= gain <= found.high
    assert 0.91 <= hits / 400 <= 0.99


def test_rewards_are_not_squeezed_into_0_to_1():
    found = paired(scores([-5.0, 3.0, 9.0]), scores([-2.0, 6.0, 12.0]))
    assert (found.difference, found.low, found.high) == (3.0, 3.0, 3.0)


def test_heavier_items_count_more():
    found = paired({"a": ItemScore(0, 3), "b": ItemScore(0, 1)}, {"a": ItemScore(1, 3), "b": ItemScore(0, 1)})
    assert found.difference == 0.75


def test_two_files(tmp_path):
    for name, value in (("a", 0.0), ("b", 1.0)):
        with RowWriter(tmp_path / f"{name}.parquet", "graded") as writer:
            for sample, state in enumerate(("scored", "undecided")):
                row = {"item_id": "i", "sample": sample, "grader": "strict", "metric": "accuracy", "state": state}
                rest = {"extracted": None, "reason": "", "weight": 1.0, "category": None, "response_tokens": 1}
                scored = value if state == "scored" else None
                writer.add({**row, **rest, "value": scored, "truncated": False})
    files = tmp_path / "a.parquet", tmp_path / "b.parquet"
    assert compare(*files, grader="strict", metric="accuracy").difference == 1.0
    with pytest.raises(StepError, match="no item is scored"):
        compare(*files, grader="strict", metric="other")


def test_nothing_in_common_is_refused():
    with pytest.raises(StepError, match="in common"):
        paired({"a": ItemScore(1)}, {"b": ItemScore(1)})
