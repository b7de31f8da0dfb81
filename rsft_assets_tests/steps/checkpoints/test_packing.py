"""Packing: every row once, budgets kept, the same number of micro-batches everywhere."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rsft_assets.steps.checkpoints.training.packing import micro_batch, plan

LENGTHS = st.lists(st.integers(0, 50), min_size=1, max_size=40)


@given(lengths=LENGTHS, budget=st.integers(1, 120), processes=st.integers(1, 5), packed=st.booleans())
def test_a_plan_holds_each_row_once_within_the_budget(lengths, budget, processes, packed):
    shares = plan(lengths, budget, processes, packed=packed)
    assert len(shares) == processes
    assert len({len(share) for share in shares}) == 1
    placed = sorted(place for share in shares for places in share for place in places)
    assert placed == [place for place, length in enumerate(lengths) if length]
    for places in (places for share in shares for places in share if len(places) > 1):
        size = sum(lengths[p] for p in places) if packed else len(places) * max(lengths[p] for p in places)
        assert size <= budget


def test_processes_share_one_batch_instead_of_waiting():
    assert [len(share[0]) for share in plan([10] * 8, 1_000, 2)] == [4, 4]


def test_load_is_even():
    shares = plan([100, 90, 60, 50, 40, 30, 20, 10], 100, 2)
    loads = [sum([100, 90, 60, 50, 40, 30, 20, 10][p] for places in share for p in places) for share in shares]
    assert max(loads) - min(loads) <= 20


def test_packed_positions_restart_and_targets_follow_the_prompt():
    rows = [np.array([5, 6, 7, 8]), np.array([9, 10, 11])]
    micro = micro_batch(rows, [2, 1], [0.5, 0.25], device="cpu")
    assert micro.input_ids.tolist() == [[5, 6, 7, 9, 10]]
    assert micro.position_ids.tolist() == [[0, 1, 2, 0, 1]]
    assert micro.chosen.tolist() == [1, 2, 3, 4]
    assert micro.targets.tolist() == [7, 8, 10, 11]
    assert micro.weights.tolist() == [0.5, 0.5, 0.25, 0.25]


def test_padded_rows_choose_the_same_targets():
    rows = [np.array([5, 6, 7, 8]), np.array([9, 10, 11])]
    micro = micro_batch(rows, [2, 1], [0.5, 0.25], packed=False, device="cpu")
    assert micro.input_ids.tolist() == [[5, 6, 7], [9, 10, 0]]
    assert micro.chosen.tolist() == [1, 2, 3, 4]
    assert micro.targets.tolist() == [7, 8, 10, 11]


def test_a_process_without_rows_gets_a_stand_in_that_weighs_nothing():
    micro = micro_batch([], [], [], device="cpu")
    assert not micro.counted
    assert micro.weights.sum() == 0
