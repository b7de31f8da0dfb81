"""vLLM against the Transformers engine on the same tiny model, and new weights in a running engine."""

import importlib.util

import pytest

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.placement import Placement
from rsft_assets.specs.responses import Sampling
from rsft_assets.steps.engines import Request, open_engine
from rsft_assets_tests.steps.engines.tiny_model import make_tiny_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vllm is not installed"),
]
GREEDY = Sampling(temperature=0, max_tokens=30)
WARM = Sampling(temperature=1.0, top_p=0.95, max_tokens=30)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    # vLLM's CPU attention wants heads of 32 at least.
    folder = tmp_path_factory.mktemp("models")
    return [make_tiny_model(folder / f"m{seed}", seed=seed, hidden=128) for seed in (0, 1)]


@pytest.fixture(scope="module")
def vllm(models):
    with open_engine(Placement(engine="vllm", device="cpu"), None) as engine:
        engine.load(models[0])
        yield engine


def asked(engine, sampling, count=24):
    turns = [[{"role": "user", "content": f"question {i}"}] for i in range(count)]
    return [Request(str(i), engine.render(turn, sampling), sampling, seed=i) for i, turn in enumerate(turns)]


def texts(engine, sampling):
    return {c.id: (c.text, c.response_tokens, c.finish_reason) for c in engine.generate(asked(engine, sampling))}


def test_greedy_text_is_that_of_the_transformers_engine(vllm, models):
    with open_engine(Placement(engine="transformers", device="cpu"), None) as local:
        local.load(models[0])
        theirs, ours = texts(vllm, GREEDY), texts(local, GREEDY)
        logprobs = {c.id: c.mean_logprob for c in local.generate(asked(local, GREEDY))}
    same = [key for key in ours if ours[key] == theirs[key]]
    # Rounding may tip a near-tie of random weights.
    assert len(same) >= 22
    for completion in vllm.generate(asked(vllm, GREEDY)):
        if completion.id in same:
            assert completion.mean_logprob == pytest.approx(logprobs[completion.id], abs=1e-3)


def test_new_weights_enter_the_running_engine(vllm, models):
    first = texts(vllm, GREEDY)
    running = vllm._llm
    vllm.load(models[1])
    assert vllm._llm is running
    second = texts(vllm, GREEDY)
    with open_engine(Placement(engine="transformers", device="cpu"), None) as local:
        local.load(models[1])
        ours = texts(local, GREEDY)
    assert sum(ours[key] == second[key] for key in ours) >= 22
    assert first != second
    vllm.load(models[0])
    assert texts(vllm, GREEDY) == first


def test_a_seed_gives_the_same_text(vllm):
    assert texts(vllm, WARM) == texts(vllm, WARM)
    assert len({text for text, _, _ in texts(vllm, WARM).values()}) > 15


def test_a_prompt_longer_than_the_context_is_cut_off_not_fatal(vllm):
    done = {c.id: c for c in vllm.generate([Request("long", "y" * 300, GREEDY, 0), *asked(vllm, GREEDY, 2)])}
    assert (done["long"].text, done["long"].finish_reason) == ("", "length")
    assert len(done) == 3


def test_more_prompt_text_than_one_batch_holds(vllm):
    """Seeded requests whose prompts together pass vLLM's token budget: read in parts, they would kill it on a CPU."""
    long = [Request(str(n), "y" * 230, WARM, n) for n in range(80)]
    assert len(list(vllm.generate(long))) == 80


def test_a_dead_engine_is_said_so_and_starts_again(models):
    with open_engine(Placement(engine="vllm", device="cpu"), None) as engine:
        engine.load(models[0])
        running = engine.generate(asked(engine, WARM, 600))
        next(running)
        for process in engine._llm.llm_engine.engine_core.resources.engine_manager.processes:
            process.kill()
        with pytest.raises(StepError, match="finished answers are kept"):
            list(running)
        engine.load(models[0])
        assert len(texts(engine, GREEDY)) == 24
