"""Several engine processes behind one: the same texts as one engine gives, and clear ends."""

import os
import signal

import pytest

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.placement import Placement
from rsft_assets.specs.responses import Sampling
from rsft_assets.steps.engines import Request, open_engine
from rsft_assets_tests.steps.engines.tiny_model import make_tiny_model

pytestmark = pytest.mark.slow
WARM = Sampling(temperature=1.0, max_tokens=20)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return [make_tiny_model(tmp_path_factory.mktemp("models") / f"m{seed}", seed=seed) for seed in (0, 1)]


@pytest.fixture(scope="module")
def two():
    with open_engine(Placement(engine="transformers", device="cpu", engines=2), None) as engine:
        yield engine


def asked(engine, count=60):
    turns = [[{"role": "user", "content": f"question {i}"}] for i in range(count)]
    return [
        Request(str(i), engine.render(turn, WARM), WARM, seed=i, group=str(i // 10)) for i, turn in enumerate(turns)
    ]


def texts(engine):
    return {completion.id: completion.text for completion in engine.generate(asked(engine))}


def test_two_give_what_one_gives_with_old_weights_and_new(two, models):
    with open_engine(Placement(engine="transformers", device="cpu"), None) as one:
        for folder in (*models, models[0]):
            one.load(folder)
            two.load(folder)
            assert texts(two) == texts(one)
    assert two.description["engines"] == 2


def test_both_work(two, models, monkeypatch):
    two.load(models[0])
    answered = set()
    next_message = two._next

    def seen(*expected):
        number, value = next_message(*expected)
        answered.add(number)
        return number, value

    monkeypatch.setattr(two, "_next", seen)
    texts(two)
    assert answered == {0, 1}


def test_nothing_asked_is_nothing_answered(two, models):
    two.load(models[0])
    assert list(two.generate([])) == []


def test_one_that_dies_ends_all_and_loading_starts_anew(two, models):
    two.load(models[0])
    running = two.generate(asked(two, 4_000))
    next(running)
    processes = [process.pid for process in two._processes]
    os.kill(processes[0], signal.SIGKILL)
    with pytest.raises(StepError, match="engine 1 of 2: died with exit status -9; finished answers are kept"):
        list(running)
    two.load(models[0])
    assert not set(processes) & {process.pid for process in two._processes}
    assert len(texts(two)) == 60


def test_a_folder_that_is_no_model_is_named(two, models, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(StepError, match=str(tmp_path)):
        two.load(tmp_path)
    two.load(models[1])
    assert len(texts(two)) == 60


def test_an_abandoned_generation_leaves_nothing_behind(two, models):
    two.load(models[0])
    running = two.generate(asked(two, 200))
    next(running)
    running.close()
    two.load(models[0])
    assert sorted(texts(two)) == sorted(str(n) for n in range(60))
