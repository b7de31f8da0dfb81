"""The endpoint engine: a model that an OpenAI-compatible server holds.

With the model's folder at hand, prompts are rendered here and sent as text, exactly as the other engines take them;
without it, the chat turns are sent and the server renders them. The server's weights are its own: `load` only checks
that it serves what is asked for.
"""

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.fingerprint import fingerprint
from rsft_assets.specs.hub import Hub
from rsft_assets.specs.models import Model
from rsft_assets.specs.placement import Placement
from rsft_assets.specs.responses import Sampling
from rsft_assets.steps.engines.chat import ModelEngine
from rsft_assets.steps.engines.protocol import FILTERED, Completion, Request
from rsft_assets.steps.engines.server import Garbage, Server, token_count
from rsft_assets.steps.records.rows import without_surrogates

_AT_ONCE = 64
_CHAT = "chat-turns:"
_NO_REPETITION_PENALTY = 1.0
"""A factor: 1 changes nothing. `Sampling` has no such field, so no text is drawn with one."""


class EndpointEngine(ModelEngine):
    """See `Engine`."""

    def __init__(self, placement: Placement, model: Model | None, *, server: Server | None = None) -> None:
        super().__init__(model)
        if not placement.endpoint and server is None:
            raise StepError('engine "endpoint" needs `endpoint`, the base URL of a server, in the placement file')
        # A refusal that quotes a prompt of a sensitive benchmark must not be logged.
        self._server = server or Server(placement.endpoint, private=True)
        self._served = ""
        self._context = 0
        self._pool = ThreadPoolExecutor(_AT_ONCE)
        self.description: dict[str, Any] = {
            "engine": "endpoint",
            "endpoint": self._server.base_url,
            "model": None,
            "repeatable": False,
        }
        self.fingerprint = fingerprint(self.description)

    def load(self, model_folder: Path) -> None:
        served = self._server.models()
        names = {str(model_folder), model_folder.name}
        if self._spec is not None:
            names |= {self._spec.name, *([self._spec.origin.repo] if isinstance(self._spec.origin, Hub) else [])}
        matching = [name for name in served if name in names]
        if not matching:
            raise StepError(
                f"{self._server.base_url} serves {', '.join(served) or 'nothing'}, not {model_folder}; "
                f"start it with that model, as in: vllm serve {model_folder}"
            )
        self._served = matching[0]
        self._tokenizer, self._context = None, 0
        if (model_folder / "config.json").is_file():
            self._read_tokenizer(model_folder)
            config = json.loads((model_folder / "config.json").read_text(encoding="utf-8"))
            self._context = int(config.get("max_position_embeddings") or 0)
        self.description["model"] = self._served
        self.fingerprint = fingerprint(self.description)

    def render(self, turns: list[dict[str, str]], sampling: Sampling) -> str:
        if self._tokenizer is None:
            return _CHAT + json.dumps({"messages": turns, "thinking": sampling.thinking}, ensure_ascii=False)
        return super().render(turns, sampling)

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        if not self._served:
            raise StepError("the engine has no model yet; call load first")
        stream = iter(requests)
        flying: set[Future[Completion]] = set()
        try:
            while True:
                while len(flying) < _AT_ONCE and (request := next(stream, None)) is not None:
                    flying.add(self._pool.submit(self._one, request))
                if not flying:
                    return
                done, flying = wait(flying, return_when=FIRST_COMPLETED)
                # Those that failed come last: what the others answered is paid for.
                for future in sorted(done, key=lambda future: future.exception() is not None):
                    yield future.result()
        finally:
            for future in flying:
                future.cancel()

    def _one(self, request: Request) -> Completion:
        body, path = self._body(request)
        if self._tokenizer is not None and self._context:
            # A server refuses what its context cannot hold; the other engines cut it off.
            prompt_tokens = len(self._tokenizer(request.prompt, add_special_tokens=False)["input_ids"])
            if prompt_tokens >= self._context:
                return Completion(request.id, "", prompt_tokens, 0, "length", False, None)
            body["max_tokens"] = min(body["max_tokens"], self._context - prompt_tokens)
        return self._server.post(path, body, lambda data: _answer(request, data, chat="messages" in body))

    def _body(self, request: Request) -> tuple[dict[str, Any], str]:
        wanted = request.sampling
        body: dict[str, Any] = {
            "model": self._served,
            "max_tokens": wanted.max_tokens,
            "temperature": wanted.temperature,
            "top_p": wanted.top_p,
            "presence_penalty": wanted.presence_penalty,
            "frequency_penalty": wanted.frequency_penalty,
            "seed": request.seed,
        }
        body |= {"stop_token_ids": list(request.stops)} if request.stops else {}
        if not request.prompt.startswith(_CHAT):
            # What is left out, a server may take from its model's generation_config.json.
            whole = {"top_k": wanted.top_k, "min_p": wanted.min_p, "repetition_penalty": _NO_REPETITION_PENALTY}
            text = {"prompt": request.prompt, "logprobs": 0, "add_special_tokens": False}
            return {**body, **whole, **text}, "/completions"
        # OpenAI's own servers refuse what is not in their interface, so it is sent only where it says something.
        body |= {"top_k": wanted.top_k} if wanted.top_k > 0 else {}
        body |= {"min_p": wanted.min_p} if wanted.min_p > 0 else {}
        chat = json.loads(request.prompt.removeprefix(_CHAT))
        switch = {} if chat["thinking"] is None else {"chat_template_kwargs": {"enable_thinking": chat["thinking"]}}
        return {**body, "messages": chat["messages"], **switch}, "/chat/completions"

    def close(self) -> None:
        self._server.close()
        self._pool.shutdown(cancel_futures=True)


def _answer(request: Request, data: dict[str, Any], *, chat: bool) -> Completion:
    choice, usage = data["choices"][0], data["usage"]
    finish = choice["finish_reason"]
    if finish == FILTERED:
        # Servers leave out what their filter held back.
        text = (_chat_text({"content": "", **(choice.get("message") or {})}) if chat else choice.get("text")) or ""
    else:
        text = _chat_text(choice["message"]) if chat else choice["text"]
    if not isinstance(text, str) or finish not in ("stop", "length", FILTERED):
        raise Garbage(f"its finish_reason is not stop, length or {FILTERED}, or it holds no text")
    logprobs = [] if chat else ((choice.get("logprobs") or {}).get("token_logprobs") or [])
    known = [value for value in logprobs if value is not None]
    return Completion(
        id=request.id,
        text=without_surrogates(text),
        prompt_tokens=token_count(usage["prompt_tokens"]),
        response_tokens=token_count(usage["completion_tokens"]),
        finish_reason=finish,
        ended_by_eos=finish == "stop",
        mean_logprob=sum(known) / len(known) if known else None,
    )


def _chat_text(message: dict[str, Any]) -> Any:
    """Some servers cut the thinking out of the text; it is put back where the model had it."""
    thinking = message.get("reasoning") or message.get("reasoning_content")
    content = message.get("content") or ("" if thinking else message["content"])
    return f"<think>{thinking}</think>{content}" if thinking else content
