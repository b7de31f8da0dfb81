"""Judges: pinned models behind an endpoint that say what a rule cannot, every judgement stored.

`specs/judges.py` says who judges and what is asked; `RSFT_JUDGES` names them.

A judgement is kept under RSFT_HOME with the hash of what was asked, the raw reply and the judge's name; what was judged
once is not asked again. Nothing of a prompt or reply is logged.
"""

import hashlib
import json
import logging
import math
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from rsft_assets.specs.endpoints import without_credentials
from rsft_assets.specs.judges import JUDGES_SETTING, JudgeSpec, judge_specs
from rsft_assets.steps.engines.protocol import FILTERED
from rsft_assets.steps.engines.server import Patience, Server, token_count
from rsft_assets.steps.processes.closing import Closing
from rsft_assets.steps.records.journal import Journal

log = logging.getLogger(__name__)
_AT_ONCE = 32


@dataclass(frozen=True)
class Question:
    """What is put to a judge: a path of the API and the body without the model's name."""

    path: str
    body: dict[str, Any]
    read: Callable[[dict[str, Any]], str]
    """The raw reply in the answer; raises where the answer is garbage."""
    cut: dict[str, Any] = field(default_factory=dict)
    """tokens: the prompt is cut on the right to so many of the judge's own; cue: what then follows it."""


def completion_question(prompt: str, *, cue: str, tokens: int, **settings: Any) -> Question:
    body = {"prompt": prompt, **settings}
    return Question(
        "/completions", body, lambda data: _text(data["choices"][0], "text"), {"tokens": tokens, "cue": cue}
    )


def chat_question(turns: list[dict[str, str]], **settings: Any) -> Question:
    body = {"messages": turns, **settings}
    return Question("/chat/completions", body, lambda data: _text(data["choices"][0], "message", "content"))


def reward_question(turns: list[dict[str, str]]) -> Question:
    """A reward model served for classification: its one raw output, without an activation."""
    body = {"messages": turns, "add_generation_prompt": False, "use_activation": False}
    return Question("//classify", body, lambda data: _number(data["data"][0]["probs"][0]))


def _text(choice: dict[str, Any], *place: str) -> str:
    """The text at a place of a choice; "" where the server's filter left it out."""
    filtered = choice.get("finish_reason") == FILTERED
    value: Any = choice
    for name in place:
        value = (value or {}).get(name) if filtered else value[name]
    if filtered and value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError("the reply holds no text")
    return value


def _number(value: Any) -> str:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("the reward is no number")
    return str(number)


def missing_judges(roles: Iterable[str]) -> str:
    """Why a benchmark cannot be judged here, in words; empty where it can."""
    missing = [role for role in roles if role not in judge_specs()]
    if not missing:
        return ""
    remedy = f"name a TOML file with [{missing[0]}] in {JUDGES_SETTING}"
    return f"no judge: none is configured for {', '.join(missing)}; {remedy}"


class Judge(Closing):
    """One judge with its stored judgements. A context manager."""

    def __init__(self, spec: JudgeSpec, folder: Path, *, patience: Patience = Patience()) -> None:  # noqa: B008
        self.spec = spec
        self.asked = self.tokens = 0
        folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(f"{without_credentials(spec.endpoint)} {spec.model}".encode()).hexdigest()[:12]
        self._stored = Journal(folder / f"{spec.role}-{name}.jsonl", key="question_sha256")
        self._server = Server(spec.endpoint, key_setting=spec.key, patience=patience, private=True)
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(_AT_ONCE)

    def replies(self, questions: Iterable[Question | None]) -> Iterator[str | None]:
        """The raw reply to each question, in order, stored ones not asked again; None for None."""
        stream = iter(questions)
        while batch := list(islice(stream, 4 * _AT_ONCE)):
            yield from self._pool.map(self._reply, batch)

    def _reply(self, question: Question | None) -> str | None:
        if question is None:
            return None
        body = {"model": self.spec.model, **question.body}
        key = hashlib.sha256(json.dumps([question.path, body | question.cut], sort_keys=True).encode()).hexdigest()
        with self._lock:
            if key in self._stored:
                return str(self._stored[key]["reply"])

        def read(data: dict[str, Any]) -> tuple[str, int]:
            return question.read(data), token_count((data.get("usage") or {}).get("total_tokens") or 0)

        if question.cut:
            body["prompt"] = self._cut(body["prompt"], question.cut["tokens"]) + question.cut["cue"]
        reply, tokens = self._server.post(question.path, body, read)
        with self._lock:
            self.asked += 1
            self.tokens += tokens
            row = {"question_sha256": key, "judge": self.spec.model, "reply": reply, "tokens": tokens}
            self._stored.append([row])
        return reply

    def _cut(self, prompt: str, most: int) -> str:
        """The first tokens of a prompt, as the judge's own tokenizer counts them; vLLM serves it."""
        if len(prompt.encode()) < most:  # a token is a byte at least
            return prompt
        ask = {"model": self.spec.model, "prompt": prompt, "add_special_tokens": False}
        tokens = self._server.post("//tokenize", ask, lambda data: [int(token) for token in data["tokens"]])
        if len(tokens) <= most:
            return prompt
        first = {"model": self.spec.model, "tokens": tokens[:most]}
        return self._server.post("//detokenize", first, lambda data: _text(data, "prompt"))

    def close(self) -> None:
        self._server.close()
        self._pool.shutdown(cancel_futures=True)
        self._stored.close()
        log.info("judge %s (%s): %d asked, %s tokens", self.spec.role, self.spec.model, self.asked, f"{self.tokens:,}")
