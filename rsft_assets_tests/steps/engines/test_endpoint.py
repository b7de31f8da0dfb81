"""The endpoint engine against a server that misbehaves."""

import json
import logging
from pathlib import Path

import pytest

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.placement import Placement
from rsft_assets.specs.responses import Sampling
from rsft_assets.steps.engines import Request
from rsft_assets.steps.engines import server as server_module
from rsft_assets.steps.engines.endpoint import EndpointEngine
from rsft_assets.steps.engines.server import Patience, Server
from rsft_assets_tests.steps.engines.rude_server import rude_server

SAMPLING = Sampling(max_tokens=7, top_k=5)
QUICK = Patience(tries=4, first_pause=0.01, longest_pause=0.02, seconds=5)


def answer(path, body):
    if path.endswith("/chat/completions"):
        choice = {"message": {"content": f"chat {body['messages'][0]['content']}"}, "finish_reason": "length"}
    else:
        choice = {"text": f"to {body['prompt']}", "finish_reason": "stop", "logprobs": {"token_logprobs": [-1.0, -3.0]}}
    return {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}


def usage(prompt_tokens="3", completion_tokens="2"):
    counts = f'{{"prompt_tokens": {prompt_tokens}, "completion_tokens": {completion_tokens}}}'
    return f'{{"choices": [{{"text": "bad", "finish_reason": "stop"}}], "usage": {counts}}}'


@pytest.fixture
def served(monkeypatch):
    monkeypatch.setenv("RSFT_ENDPOINT_KEY", "sk-very-secret")
    with rude_server(answer) as server:
        engine = EndpointEngine(Placement(), None, server=Server(server.url, patience=QUICK))
        with engine:
            engine.load(Path("served-model"))
            yield server, engine


def requests(count=3):
    return [Request(str(n), f"prompt {n}", SAMPLING, n) for n in range(count)]


def test_text_counts_and_sampling(served):
    server, engine = served
    done = {c.id: c for c in engine.generate(requests())}
    assert (done["1"].text, done["1"].response_tokens, done["1"].mean_logprob) == ("to prompt 1", 2, -2.0)
    body = next(body for _, body in server.seen if body["seed"] == 2)
    assert (body["top_k"], body["max_tokens"]) == (5, 7)
    # A server that is not told takes them from its model's generation_config.json.
    assert (body["min_p"], body["repetition_penalty"]) == (0.0, 1.0)
    assert server.headers[0]["Authorization"] == "Bearer sk-very-secret"
    assert "stop_token_ids" not in body
    list(engine.generate([Request("s", "prompt s", SAMPLING, 77, stops=(7,))]))
    assert server.seen[-1][1]["stop_token_ids"] == [7]


@pytest.mark.parametrize(
    "trouble",
    [
        [429],
        [500, 503],
        ["<html>"],
        ['{"choices": [{"te'],
        ['{"choices": []}'],
        ["[]"],
        ["hang-up"],
        ["half", "half"],
        [usage(completion_tokens="Infinity")],
        [usage(completion_tokens="1e999")],
        [usage(prompt_tokens="-3")],
        [usage(completion_tokens="1" * 30)],
        pytest.param([usage(completion_tokens="1" * 5000)], id="5,000 digits"),
        [429, "nonsense", 502],
    ],
    ids=str,
)
def test_trouble_is_sat_out(served, trouble, caplog):
    server, engine = served
    server.script.extend(trouble)
    done = list(engine.generate(requests()))
    assert sorted(completion.text for completion in done) == ["to prompt 0", "to prompt 1", "to prompt 2"]
    assert "sk-very-secret" not in caplog.text


def test_lasting_trouble_is_an_error_that_keeps_what_came_before(served, caplog):
    server, engine = served
    running = engine.generate(requests(1) * 1)
    assert next(running).text == "to prompt 0"
    server.script.extend([500] * 9)
    with pytest.raises(StepError, match="gave up after 4 tries") as error, caplog.at_level(logging.DEBUG):
        list(engine.generate(requests(1)))
    assert "sk-very-secret" not in str(error.value) + caplog.text


def test_a_refusal_is_not_tried_again(served):
    server, engine = served
    server.script.extend([401])
    with pytest.raises(StepError, match="401"):
        list(engine.generate(requests(1)))
    assert len(server.seen) == 1


def test_turns_are_sent_where_no_template_is_at_hand(served):
    server, engine = served
    prompt = engine.render([{"role": "user", "content": "hi"}], SAMPLING)
    [done] = engine.generate([Request("a", prompt, SAMPLING, 1)])
    assert (done.text, done.finish_reason) == ("chat hi", "length")
    assert server.seen[0][0] == "/v1/chat/completions"


def test_thinking_that_a_server_cuts_out_is_put_back(served):
    server, engine = served
    message = {"content": "4", "reasoning_content": "2+2"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1}
    server.answer = lambda path, body: {"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}
    prompt = engine.render([{"role": "user", "content": "hi"}], SAMPLING)
    assert next(engine.generate([Request("a", prompt, SAMPLING, 1)])).text == "<think>2+2</think>4"


def test_a_local_template_renders_the_prompt(served, tiny_model):
    _, engine = served
    engine._server.models = lambda: [str(tiny_model)]
    engine.load(tiny_model)
    assert engine.render([{"role": "user", "content": "hi"}], SAMPLING).startswith("<|im_start|>user\nhi")


def test_what_is_not_served_is_refused(served):
    with pytest.raises(StepError, match="serves served-model, not other"):
        served[1].load(Path("other"))


def test_an_endpoint_must_be_named():
    with pytest.raises(StepError, match="endpoint"):
        EndpointEngine(Placement(engine="endpoint"), None)


def test_leaving_does_not_wait_for_a_server_that_never_answers():
    with rude_server(answer) as server:
        server.script.extend([*["never"] * 20, 401])
        with (
            pytest.raises(StepError, match="401"),
            EndpointEngine(Placement(), None, server=Server(server.url)) as engine,
        ):
            engine.load(Path("served-model"))
            list(engine.generate(requests(40)))
        # Only what the server let go of would have ended those requests otherwise.
        assert not server.over.is_set()


@pytest.mark.parametrize(
    ("chat", "choice", "text"),
    [
        (False, {"text": "so far"}, "so far"),
        (False, {}, ""),
        (True, {"message": {"content": "so far"}}, "so far"),
        (True, {"message": {"content": None, "reasoning": "hm"}}, "<think>hm</think>"),
        (True, {"message": {"role": "assistant", "content": None}}, ""),
        (True, {"message": {}}, ""),
        (True, {}, ""),
    ],
)
def test_what_a_filter_held_back_is_an_answer(served, chat, choice, text):
    server, engine = served
    counts = {"prompt_tokens": 3, "completion_tokens": 0}
    server.answer = lambda path, body: {"choices": [{**choice, "finish_reason": "content_filter"}], "usage": counts}
    prompt = engine.render([{"role": "user", "content": "hi"}], SAMPLING) if chat else "hi"
    [done] = engine.generate([Request("a", prompt, SAMPLING, 1)])
    assert (done.text, done.finish_reason, done.ended_by_eos, done.response_tokens) == (
        text,
        "content_filter",
        False,
        0,
    )
    assert len(server.seen) == 1


@pytest.mark.parametrize("told", ["packed", "endless"])
def test_an_answer_has_a_largest_size(served, monkeypatch, told):
    server, engine = served
    monkeypatch.setattr(server_module, "LARGEST_ANSWER", 2**20)
    server.script.extend([told] * 4)
    with pytest.raises(StepError, match="larger than 1,048,576 bytes"):
        list(engine.generate(requests(1)))


def test_a_packed_answer_is_unpacked(served):
    server, engine = served
    server.script.append("packed")
    assert next(engine.generate(requests(1))).text == "to prompt 0"
    assert [headers["Accept-Encoding"] for headers in server.headers] == ["gzip"]


def test_an_answer_has_a_deadline_for_all_of_it():
    impatient = Patience(tries=1, seconds=1)
    with rude_server(answer) as server, Server(server.url, patience=impatient) as asked:
        server.script.append("drip")
        with pytest.raises(StepError, match="not complete after 1 s"):
            asked.post("/completions", {"prompt": ""}, lambda data: data)


def test_what_lets_somebody_in_is_used_and_not_written_down(caplog):
    with caplog.at_level(logging.DEBUG), rude_server(answer) as server:
        url = server.url.replace("://", "://me:pass-word@") + "/?api-key=a-key&version=2"
        with EndpointEngine(Placement(endpoint=url), None) as engine:
            engine.load(Path("served-model"))
            [done] = engine.generate(requests(1))
            server.script.append(401)
            with pytest.raises(StepError, match="401") as refused:
                list(engine.generate(requests(1)))
    assert done.text == "to prompt 0"
    assert engine.description["endpoint"] == server.url
    assert server.seen[0][0] == "/v1/completions?api-key=a-key&version=2"
    assert server.headers[0]["Authorization"].startswith("Basic ")
    said = caplog.text + str(refused.value) + json.dumps([engine.description, Placement(endpoint=url).recorded()])
    assert not [secret for secret in ("me:", "pass-word", "a-key") if secret in said]


@pytest.mark.parametrize("key", ["sk-secr\u00e9t", "sk-se\ncret"])
def test_a_key_that_no_header_takes_is_refused_and_not_shown(monkeypatch, caplog, key):
    monkeypatch.setenv("RSFT_ENDPOINT_KEY", key)
    with pytest.raises(StepError, match="RSFT_ENDPOINT_KEY") as refused:
        Server("http://localhost/v1", patience=QUICK).models()
    assert "sk-se" not in caplog.text + str(refused.value)


def test_a_refusal_that_quotes_the_prompt_of_a_model_under_test_is_not_quoted(caplog):
    with caplog.at_level(logging.DEBUG), rude_server(answer) as server:
        server.refusal = json.dumps({"detail": [{"input": "prompt 0"}]})
        server.script.extend([500, 400])
        with EndpointEngine(Placement(endpoint=server.url), None) as engine:
            engine.load(Path("served-model"))
            with pytest.raises(StepError, match="status 400") as refused:
                list(engine.generate(requests(1)))
    assert "prompt 0" not in caplog.text + str(refused.value)
