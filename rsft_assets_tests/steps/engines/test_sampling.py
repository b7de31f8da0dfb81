"""One step of drawing: what each setting keeps, and how often what is kept comes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsft_assets.specs.responses import Sampling

torch = pytest.importorskip("torch")

from rsft_assets.steps.engines.sampling import Rows, draw  # noqa: E402

PROBABILITIES = torch.tensor([[0.05, 0.4, 0.3, 0.15, 0.1]])
GRID = torch.arange(1000) / 1000


def shares(sampling: Sampling, counts=None) -> list[float]:
    """How often each of five tokens is drawn, over an even grid of chances."""
    rows = Rows.of([sampling] * len(GRID), "cpu")
    logits = PROBABILITIES.log().expand(len(GRID), -1)
    counts = None if counts is None else torch.tensor([counts], dtype=torch.float32).expand(len(GRID), -1)
    tokens, _ = draw(logits, rows, GRID, counts)
    return [float((tokens == i).float().mean()) for i in range(5)]


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        pytest.param(Sampling(temperature=1, top_p=1), [0.05, 0.4, 0.3, 0.15, 0.1], id="as it is"),
        pytest.param(Sampling(temperature=0), [0, 1, 0, 0, 0], id="greedy"),
        pytest.param(Sampling(temperature=1, top_p=1, top_k=2), [0, 4 / 7, 3 / 7, 0, 0], id="top-k"),
        pytest.param(Sampling(temperature=1, top_p=0.7), [0, 4 / 7, 3 / 7, 0, 0], id="top-p at a border"),
        pytest.param(Sampling(temperature=1, top_p=0.71), [0, 0.4 / 0.85, 0.3 / 0.85, 0.15 / 0.85, 0], id="top-p"),
        pytest.param(Sampling(temperature=1, top_p=0.01), [0, 1, 0, 0, 0], id="top-p keeps the first"),
        pytest.param(Sampling(temperature=1, top_p=0.5, top_k=2), [0, 1, 0, 0, 0], id="top-p of what top-k left"),
        pytest.param(
            Sampling(temperature=1, top_p=1, min_p=0.3), [0, 0.4 / 0.85, 0.3 / 0.85, 0.15 / 0.85, 0], id="min-p"
        ),
    ],
)
def test_what_is_kept(sampling, expected):
    assert shares(sampling) == pytest.approx(expected, abs=0.003)


def test_temperature_sharpens():
    squared = PROBABILITIES[0] ** 2
    assert shares(Sampling(temperature=0.5, top_p=1)) == pytest.approx((squared / squared.sum()).tolist(), abs=0.003)


def test_penalties_count_what_was_drawn():
    sampling = Sampling(temperature=1, top_p=1, presence_penalty=1.0, frequency_penalty=0.5)
    bent = PROBABILITIES[0] * torch.exp(-torch.tensor([0, 1.0 + 0.5 * 3, 0, 0, 1.0 + 0.5]))
    assert shares(sampling, counts=[0, 3, 0, 0, 1]) == pytest.approx((bent / bent.sum()).tolist(), abs=0.003)


@given(
    st.lists(st.floats(-20, 20), min_size=3, max_size=9),
    st.floats(0, 0.999999),
    st.builds(
        Sampling,
        temperature=st.sampled_from([0.0, 0.3, 1.0, 2.0]),
        top_p=st.floats(0.01, 1),
        top_k=st.integers(-1, 9),
        min_p=st.floats(0, 1),
    ),
)
@settings(max_examples=150)
def test_a_row_does_not_depend_on_its_neighbours(logits, chance, sampling):
    logits = torch.tensor([logits])
    other = Sampling(temperature=1, top_p=0.9, top_k=3, presence_penalty=1)
    alone, _ = draw(logits, Rows.of([sampling], "cpu"), torch.tensor([chance]), None)
    pair, logprob = draw(
        logits.repeat(2, 1),
        Rows.of([other, sampling], "cpu"),
        torch.tensor([0.5, chance]),
        torch.zeros(2, logits.shape[1]),
    )
    assert pair[1] == alone[0]
    assert logprob[1] == pytest.approx(float(torch.log_softmax(logits[0], -1)[pair[1]]), abs=1e-5)
