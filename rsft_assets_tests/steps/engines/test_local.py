"""The Transformers engine against Transformers' own decoding, and against itself in other company."""

import dataclasses
import json
from types import SimpleNamespace

import pytest

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.placement import Placement
from rsft_assets.specs.responses import Sampling
from rsft_assets.steps.engines import Request, open_engine
from rsft_assets.steps.engines.decoding_batch import Slots
from rsft_assets.steps.engines.local import Room
from rsft_assets_tests.steps.engines.tiny_model import make_tiny_model

GREEDY = Sampling(temperature=0, max_tokens=40)
WARM = Sampling(temperature=1.0, top_p=0.95, max_tokens=60)


@pytest.fixture(scope="module")
def engine(tiny_model):
    with open_engine(Placement(engine="transformers", device="cpu"), None) as engine:
        engine.load(tiny_model)
        yield engine


def requests(engine, sampling, count=30):
    questions = ["short", "a question of middling length?", "x" * 70]
    turns = [[{"role": "user", "content": f"{questions[i % 3]} {i}"}] for i in range(count)]
    return [Request(str(i), engine.render(turn, sampling), sampling, seed=i) for i, turn in enumerate(turns)]


def texts(engine, wanted):
    return {c.id: (c.text, c.response_tokens, c.finish_reason) for c in engine.generate(wanted)}


@pytest.mark.slow
def test_greedy_text_is_that_of_transformers(engine, tiny_model):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    ours = texts(engine, requests(engine, GREEDY))
    for request in requests(engine, GREEDY):
        ids = tokenizer(request.prompt, add_special_tokens=False, return_tensors="pt")
        drawn = model.generate(**ids, do_sample=False, max_new_tokens=40)[0, ids.input_ids.shape[1] :]
        assert ours[request.id][0] == tokenizer.decode(drawn, skip_special_tokens=True)


def test_a_stop_token_ends_a_text_beside_the_end_token(engine):
    wanted = requests(engine, WARM, 6)
    whole = {completion.id: completion for completion in engine.generate(wanted)}
    stops = tuple(engine._encode(whole["3"].text[10:11]))
    stopped = {c.id: c for c in engine.generate([dataclasses.replace(r, stops=stops) for r in wanted])}
    assert (stopped["3"].finish_reason, stopped["3"].ended_by_eos) == ("stop", True)
    for key, completion in stopped.items():
        assert whole[key].text.startswith(completion.text)
        assert engine._tokenizer.decode(stops) not in completion.text


def test_a_seed_gives_the_same_text_in_any_company(engine):
    wanted = requests(engine, WARM)
    together = texts(engine, wanted)
    alone = {}
    for request in wanted[:6]:
        alone.update(texts(engine, [request]))
    assert {key: together[key] for key in alone} == alone
    assert texts(engine, reversed(wanted)) == together
    assert len({text for text, _, _ in together.values()}) > 20


@pytest.mark.slow
def test_a_group_is_the_same_to_the_last_digit_whatever_is_asked_beside_it(engine):
    wanted = requests(engine, WARM, 40)
    others = [dataclasses.replace(r, id=f"other {r.id}", seed=7 * r.seed) for r in requests(engine, WARM, 300)]
    alone = {completion.id: completion for completion in engine.generate(in_group(wanted, "a"))}

    def beside(asked):
        answers = {completion.id: completion for completion in engine.generate(asked)}
        return {key: answers[key] for key in alone}

    assert beside([*in_group(others[:150], "b"), *in_group(wanted, "a"), *in_group(others[150:], "c")]) == alone
    assert beside([*in_group(others, "a"), *in_group(wanted, "a")]) != alone, "one batch would do as well"


def in_group(asked, group):
    return [dataclasses.replace(request, group=group) for request in asked]


def test_rows_join_and_leave_while_others_go_on(engine, monkeypatch):
    wanted = [
        dataclasses.replace(r, sampling=dataclasses.replace(WARM, max_tokens=5 + 11 * (i % 7), presence_penalty=i % 2))
        for i, r in enumerate(requests(engine, WARM, 60))
    ]
    at_once = texts(engine, wanted)
    monkeypatch.setattr("rsft_assets.steps.engines.local._MOST_ROWS", 7)
    monkeypatch.setattr("rsft_assets.steps.engines.local._LOOK_AHEAD", 9)
    assert texts(engine, iter(wanted)) == at_once
    assert len(at_once) == 60


def test_a_stream_is_read_a_bounded_number_ahead(engine, monkeypatch):
    monkeypatch.setattr("rsft_assets.steps.engines.local._MOST_ROWS", 4)
    monkeypatch.setattr("rsft_assets.steps.engines.local._LOOK_AHEAD", 8)
    read = []

    def stream():
        for request in requests(engine, GREEDY, 60):
            read.append(request.id)
            yield request

    next(engine.generate(stream()))
    assert len(read) <= 12


def test_the_end_token_ends_a_response_and_the_limit_cuts_it(engine):
    done = list(engine.generate(requests(engine, WARM, 60)))
    assert {c.finish_reason for c in done} == {"stop", "length"}
    for completion in done:
        assert completion.ended_by_eos == (completion.finish_reason == "stop")
        assert completion.response_tokens <= 60
        assert completion.response_tokens == 60 or completion.ended_by_eos
        assert "<|endoftext|>" not in completion.text
        assert completion.mean_logprob < 0


def test_a_prompt_longer_than_the_context_is_cut_off_not_fatal(engine):
    long = Request("long", "y" * 400, GREEDY, 0)
    near = Request("near", "y" * 250, GREEDY, 0)
    done = {c.id: c for c in engine.generate([long, near, *requests(engine, GREEDY, 3)])}
    assert (done["long"].text, done["long"].finish_reason) == ("", "length")
    assert done["near"].response_tokens <= 6
    assert len(done) == 5


def test_new_weights_give_new_text_and_old_ones_the_old(engine, tiny_model, tmp_path):
    before = texts(engine, requests(engine, GREEDY))
    engine.load(make_tiny_model(tmp_path / "other", seed=9))
    assert texts(engine, requests(engine, GREEDY)) != before
    engine.load(tiny_model)
    assert texts(engine, requests(engine, GREEDY)) == before


def test_no_system_message_is_added(engine):
    prompt = engine.render([{"role": "user", "content": "hi"}], GREEDY)
    assert prompt == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"


def test_a_folder_without_a_model_is_named(engine, tiny_model, tmp_path):
    with pytest.raises(StepError, match=str(tmp_path)):
        engine.load(tmp_path)
    engine.load(tiny_model)


def test_what_is_drawn_is_said_before_the_first_answer(engine, monkeypatch, tmp_path):
    monkeypatch.setattr("rsft_assets.steps.engines.local._SAY_DRAWN_SECONDS", 0.0)
    monkeypatch.setenv("RSFT_EVENTS", str(tmp_path / "events"))
    next(iter(engine.generate(requests(engine, WARM, 8))))
    said = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    assert {(event["what"], event["unit"]) for event in said} == {("decoding with a model", "tokens")}
    assert said[0]["done"] == 8


QWEN3 = {"num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151_936}
QWEN3_1_7B = SimpleNamespace(**QWEN3, num_hidden_layers=28)
QWEN3_14B = SimpleNamespace(**QWEN3, num_hidden_layers=40)


@pytest.mark.parametrize(
    ("config", "free", "rows", "cached"),
    [
        (QWEN3_1_7B, None, 110, 18_724),  # a CPU: the same on every machine
        (QWEN3_1_7B, 75 * 2**30, 512, 351_085),
        (QWEN3_14B, 50 * 2**30, 512, 163_840),
        (QWEN3_1_7B, 20 * 2**30, 220, 93_622),
        (QWEN3_1_7B, 2**20, 1, 4),
    ],
)
def test_rows_follow_the_memory_of_a_card(config, free, rows, cached):
    room = Room.of(config, free)
    assert (room.rows, room.cached) == (rows, cached)


def test_prompts_are_read_a_bounded_number_of_tokens_at_once_and_all_rows_still_run(engine, monkeypatch):
    """As on a GPU, whose memory a batch of long prompts would fill."""
    wanted = requests(engine, GREEDY, 24)
    together = texts(engine, wanted)
    started, real = [], Slots.__init__

    def noted(self, rows, prompts, *others):
        started.append([len(prompt) for prompt in prompts])
        real(self, rows, prompts, *others)

    monkeypatch.setattr(Slots, "__init__", noted)
    monkeypatch.setattr(engine, "_room", dataclasses.replace(engine._room, prompt=500))
    first = next(iter(generating := engine.generate(wanted)))
    assert all(len(lengths) * max(lengths) <= 500 for lengths in started)
    assert sum(map(len, started)) == 24, "no row waits for another to end"
    assert {c.id: (c.text, c.response_tokens, c.finish_reason) for c in [first, *generating]} == together


def test_a_precision_of_the_cache_that_this_engine_lacks_is_refused():
    with pytest.raises(StepError, match=r"kv_cache = 'fp8', which only the engine vllm has.*leave kv_cache out"):
        open_engine(Placement(engine="transformers", device="cpu", kv_cache="fp8"), None)
