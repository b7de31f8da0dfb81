"""Means and intervals: they cover what they promise, and nothing unscored ever counts as a zero."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsft_assets.steps.scores.grading.intervals import Cluster, estimate, t_quantile
from rsft_assets.steps.scores.grading.tally import Tally, unscored_rows


def covered(chance, *, items, samples, spread, share=True):
    """Share of simulated benchmarks whose interval holds the truth."""
    hits, rounds = 0, 400
    for _ in range(rounds):
        clusters = []
        for _ in range(items):
            easy = 0.5 + spread * chance.choice((-1, 1))
            drawn = [chance.random() < easy for _ in range(samples)] if share else [easy + chance.gauss(0, 1)]
            clusters.append(Cluster(sum(drawn) / len(drawn), len(drawn)))
        found = estimate(clusters, share=share)
        hits += found.low <= 0.5 <= found.high
    return hits / rounds


@pytest.mark.parametrize(("items", "samples", "spread"), [(100, 1, 0.3), (30, 10, 0.45), (100, 3, 0.0), (50, 8, 0.5)])
def test_95_in_100_intervals_hold_the_truth(items, samples, spread):
    assert 0.91 <= covered(random.Random(7), items=items, samples=samples, spread=spread) <= 0.99


@pytest.mark.parametrize(("solvable", "at"), [(0.04, 0.5), (0.08, 0.5), (0.2, 0.5), (0.1, 0.2)])
def test_intervals_hold_where_few_of_thirty_questions_are_ever_solved(solvable, at):
    """As AIME: how often a question is solved varies much between questions, around 2 to 10 % on average."""
    chance, rounds, hits = random.Random(11), 1_000, 0
    for _ in range(rounds):
        easy = [chance.betavariate(2 * at, 2 * (1 - at)) if chance.random() < solvable else 0.0 for _ in range(30)]
        found = estimate([Cluster(sum(chance.random() < e for _ in range(10)) / 10, 10) for e in easy], share=True)
        hits += found.low <= solvable * at <= found.high
    assert hits / rounds >= 0.935


def test_one_answer_an_item_has_wilsons_interval():
    found = estimate([Cluster(float(i < 30)) for i in range(300)], share=True)
    assert (found.low, found.high) == pytest.approx((0.0710, 0.1393), abs=2e-4)


def test_intervals_of_rewards_hold_the_truth():
    assert 0.91 <= covered(random.Random(7), items=12, samples=1, spread=2.0, share=False) <= 0.99


@pytest.mark.parametrize(
    ("freedom", "exact"), [(1, 12.706), (3, 3.182), (5, 2.571), (10, 2.228), (30, 2.042), (999, 1.962)]
)
def test_students_quantile(freedom, exact):
    assert t_quantile(freedom) == pytest.approx(exact, rel=0.01)


def test_samples_of_one_item_are_not_independent():
    alike = estimate([Cluster(float(i % 2), 10) for i in range(30)], share=True)
    apart = estimate([Cluster(0.5, 10) for i in range(30)], share=True)
    assert alike.high - alike.low > 2 * (apart.high - apart.low)


def test_all_right_is_not_certain():
    found = estimate([Cluster(1.0, 3)] * 30, share=True)
    assert found.high == 1.0
    assert found.low < 0.9


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 9), st.floats(0.1, 9)), min_size=1, max_size=40))
def test_a_share_and_its_interval_lie_between_0_and_1(clusters):
    found = estimate([Cluster(*cluster) for cluster in clusters], share=True)
    assert 0 <= found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high <= 1


def row(item, value, *, state="scored", category=None, metric="accuracy", tokens=5, truncated=False, reason="x"):
    return {
        "item_id": item,
        "grader": "strict",
        "metric": metric,
        "state": state,
        "value": value,
        "reason": reason,
        "weight": 1.0,
        "category": category,
        "response_tokens": tokens,
        "truncated": truncated,
    }


def tallied(*rows, **settings):
    tally = Tally(**settings)
    for entry in rows:
        tally.add(entry)
    return {(found["metric"], found["category"]): found for found in tally.rows()}


def test_counts_and_means():
    found = tallied(
        row("a", 1.0, tokens=10),
        row("a", 0.0, tokens=20, truncated=True),
        row("b", 0.0, tokens=30),
        row("c", None, state="undecided", tokens=40),
        row("d", None, state="not-run", tokens=50),
    )["accuracy", "all"]
    assert (found["value"], found["items"], found["samples"]) == (0.25, 2, 3)
    assert (found["undecided"], found["not_run"], found["truncated"]) == (1, 1, 1)
    assert found["pass_at_k"] == 0.5
    assert (found["mean_tokens"], found["median_tokens"], found["p90_tokens"]) == (30, 30, 50)


def test_categories_where_there_are_two():
    assert set(tallied(row("a", 1.0, category="x"), row("b", 0.0, category="y"))) == {
        ("accuracy", name) for name in ("all", "x", "y")
    }
    assert set(tallied(row("a", 1.0, category="x"), row("b", 0.0, category="x"))) == {("accuracy", "all")}


def test_nothing_scored_is_no_zero():
    found = tallied(row("a", None, state="undecided", reason="time"))["accuracy", "all"]
    assert (found["state"], found["value"]) == ("undecided", None)
    assert "time" in found["reason"]


def test_a_reward_has_no_pass_at_k_and_may_leave_0_to_1():
    found = tallied(*(row(str(i), i - 5.0, metric="reward") for i in range(4)), unbounded=frozenset({"reward"}))
    assert found["reward", "all"]["pass_at_k"] is None
    assert found["reward", "all"]["low"] < -5


def test_unscored_rows_hold_no_number():
    rows = unscored_rows(("strict", "authors"), ("a", "b"), "no-access", "gated")
    assert len(rows) == 4
    assert {entry["value"] for entry in rows} == {None}
