"""The endpoint engine and a real vLLM server, against the Transformers engine on the same tiny model."""

import importlib.util
from dataclasses import replace

import pytest

from rsft_assets.specs.placement import Placement
from rsft_assets.specs.responses import Sampling
from rsft_assets.steps.engines import Request, open_engine
from rsft_assets_tests.steps.engines.tiny_model import make_tiny_model
from rsft_assets_tests.steps.engines.vllm_server import vllm_server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vllm is not installed"),
]
GREEDY = Sampling(temperature=0, max_tokens=30)
WARM = Sampling(temperature=1.0, top_p=0.95, top_k=20, max_tokens=30)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("models") / "m0", hidden=128)


@pytest.fixture(scope="module")
def served(model, tmp_path_factory):
    with (
        vllm_server(model, tmp_path_factory.mktemp("log") / "server.log") as url,
        open_engine(Placement(engine="endpoint", endpoint=url), None) as engine,
    ):
        engine.load(model)
        yield engine


def asked(engine, sampling, count=24):
    turns = [[{"role": "user", "content": f"question {i}"}] for i in range(count)]
    return [Request(str(i), engine.render(turn, sampling), sampling, seed=i) for i, turn in enumerate(turns)]


def completions(engine, sampling):
    return {completion.id: completion for completion in engine.generate(asked(engine, sampling))}


def test_greedy_text_counts_and_ends_are_those_of_the_transformers_engine(served, model):
    with open_engine(Placement(engine="transformers", device="cpu"), None) as local:
        local.load(model)
        ours, theirs = completions(local, GREEDY), completions(served, GREEDY)
    same = [key for key in ours if ours[key].text == theirs[key].text]
    # Rounding may tip a near-tie of random weights.
    assert len(same) >= 22
    for key in same:
        for name in ("prompt_tokens", "response_tokens", "finish_reason", "ended_by_eos"):
            assert getattr(ours[key], name) == getattr(theirs[key], name), name
        assert theirs[key].mean_logprob == pytest.approx(ours[key].mean_logprob, abs=1e-3)


def test_a_seed_gives_the_same_text(served):
    first, again = completions(served, WARM), completions(served, WARM)
    assert {key: c.text for key, c in first.items()} == {key: c.text for key, c in again.items()}
    assert len({c.text for c in first.values()}) > 15


def test_more_than_the_context_holds_is_cut_off_as_elsewhere(served, model):
    wide = replace(GREEDY, max_tokens=4_000)
    requests = [Request("long", "y" * 300, GREEDY, 0), Request("wide", "y" * 200, wide, 0)]
    with open_engine(Placement(engine="transformers", device="cpu"), None) as local:
        local.load(model)
        ours = {c.id: (c.prompt_tokens, c.finish_reason, c.response_tokens) for c in local.generate(requests)}
    theirs = {c.id: (c.prompt_tokens, c.finish_reason, c.response_tokens) for c in served.generate(requests)}
    assert theirs["long"] == ours["long"] == (300, "length", 0)
    assert theirs["wide"][1] == ours["wide"][1]


def test_without_the_model_s_folder_the_server_writes_the_prompt(model, tmp_path):
    with (
        vllm_server(model, tmp_path / "server.log", served_as="afar") as url,
        open_engine(Placement(engine="endpoint", endpoint=url), None) as engine,
    ):
        engine.load(tmp_path / "afar")
        chat = completions(engine, GREEDY)
    with open_engine(Placement(engine="transformers", device="cpu"), None) as local:
        local.load(model)
        ours = completions(local, GREEDY)
    assert sum(chat[key].text == ours[key].text for key in ours) >= 22
    assert all(chat[key].prompt_tokens == ours[key].prompt_tokens for key in ours)
