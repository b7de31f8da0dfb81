"""The Transformers engine: a model in this process, on a CPU or one GPU, with continuous batching."""

import itertools
import logging
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.fingerprint import fingerprint
from rsft_assets.specs.models import Model
from rsft_assets.specs.placement import Placement
from rsft_assets.steps.engines.chat import ModelEngine, needs_gpu
from rsft_assets.steps.engines.decoding_batch import Row, Slots
from rsft_assets.steps.engines.grouped_attention import install
from rsft_assets.steps.engines.protocol import Completion, Request
from rsft_assets.steps.processes.events import Progress
from rsft_assets.steps.processes.torch_device import torch_device
from rsft_assets.steps.records.tokenizers import allow_remote_code

log = logging.getLogger(__name__)
_MOST_ROWS = 512
"""Of a tiny model, whose steps cost the same for few rows as for many."""
_LOOK_AHEAD = 4 * _MOST_ROWS
_CPU_LOGITS = 1 << 24
"""110 rows of a vocabulary like Qwen3's."""
_CPU_CACHE_BYTES = 4 << 30
_GPU_CACHE_SHARE, _GPU_LOGITS_SHARE = 0.5, 0.1
"""Of the memory that the weights leave free; what a prompt computes and a cache that grows need the rest."""
_BYTES_OF_A_LOGIT = 64
"""While a token is drawn: some dozen arrays in fp32, and token numbers in order."""
_PROMPT_TOKENS = 1 << 16
"""Of the prompts that a GPU reads at once."""
_SAY_DRAWN_SECONDS = 10.0


@dataclass(frozen=True)
class Room:
    """What a device holds beside a model's weights."""

    cached: int
    """Tokens of all rows, answers at their longest included."""
    rows: int
    prompt: int
    """Tokens, padding included, of the rows that start together."""

    @classmethod
    def of(cls, config: Any, free: int | None) -> "Room":
        """`free` is the memory of a GPU; None is a CPU, where the same rows start together on every machine."""
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        numbers = 2 * config.num_hidden_layers * heads * width
        if free is None:
            cached, logits, prompt = _CPU_CACHE_BYTES // (4 * numbers), _CPU_LOGITS, sys.maxsize
        else:
            cached = int(free * _GPU_CACHE_SHARE) // (2 * numbers)
            logits, prompt = int(free * _GPU_LOGITS_SHARE) // _BYTES_OF_A_LOGIT, _PROMPT_TOKENS
        return cls(cached, max(1, min(_MOST_ROWS, logits // config.vocab_size)), prompt)


class LocalEngine(ModelEngine):
    """See `Engine`."""

    def __init__(self, placement: Placement, model: Model | None) -> None:
        super().__init__(model)
        self._model: Any = None
        transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        self._device = torch_device(placement, needs_gpu=needs_gpu(model))
        torch.set_num_threads(placement.threads)
        self.description = describe(self._device, placement.threads)
        self.fingerprint = fingerprint(self.description)

    def load(self, model_folder: Path) -> None:
        self.close()
        self._read_tokenizer(model_folder)
        try:
            model: Any = transformers.AutoModelForCausalLM.from_pretrained(
                str(model_folder),
                local_files_only=True,
                trust_remote_code=allow_remote_code(self._spec),
                dtype=getattr(torch, str(self.description["dtype"])),
                attn_implementation="sdpa",
            )
        except (OSError, ValueError, KeyError) as error:
            raise StepError(f"{model_folder}: cannot be loaded as a language model ({error})") from error
        self._model = model.to(self._device).eval()
        if self._device == "cpu":
            install(self._model)
        # Looked at once: later, torch keeps what the cache of finished rows took.
        free = None if self._device == "cpu" else torch.cuda.mem_get_info()[0]
        self._room = Room.of(model.config.get_text_config(), free)

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        if self._model is None:
            raise StepError("the engine has no model yet; call load first")
        # Answers may take minutes each; what is drawn of them is said from the first token.
        self._drawn = Progress(
            f"decoding with {self._spec.name if self._spec else 'a model'}", 0, "tokens", every=_SAY_DRAWN_SECONDS
        )
        if not self.description["repeatable"]:
            return self._decode(iter(requests))
        groups = itertools.groupby(requests, key=lambda request: request.group)
        return itertools.chain.from_iterable(self._decode(group) for _, group in groups)

    def _decode(self, stream: Iterator[Request]) -> Iterator[Completion]:
        waiting: list[tuple[list[int], Request]] = []
        slots: Slots | None = None
        while True:
            waiting += [(self._encode(r.prompt), r) for r in itertools.islice(stream, _LOOK_AHEAD - len(waiting))]
            yield from self._too_long(waiting)
            if not waiting and slots is None:
                return
            with torch.inference_mode():
                slots = self._fill(slots, waiting)
                done = self._run(slots) if slots else []
            if slots and not slots.rows:
                slots = None
            for row in done:
                yield self._completion(row.request, row.prompt_tokens, row.tokens, row.logprob, ended=row.ended)

    @property
    def _context(self) -> int:
        return int(getattr(self._model.config.get_text_config(), "max_position_embeddings", 1 << 30))

    def _too_long(self, waiting: list[tuple[list[int], Request]]) -> Iterator[Completion]:
        """Prompts that leave no room for one token are answered with nothing, cut off."""
        for entry in [entry for entry in waiting if len(entry[0]) >= self._context]:
            waiting.remove(entry)
            yield Completion(entry[1].id, "", len(entry[0]), 0, "length", False, None)

    def _fill(self, slots: Slots | None, waiting: list[tuple[list[int], Request]]) -> Slots | None:
        """Prompts of like length start together, the longest first."""
        waiting.sort(key=lambda entry: len(entry[0]))
        while taken := self._fitting(_rows(slots), waiting):
            rows = [Row(request, len(prompt), self._limit(prompt, request)) for prompt, request in taken]
            eos = self._tokenizer.eos_token_id
            fresh = Slots(rows, [prompt for prompt, _ in taken], self._model, eos, self._device)
            if slots is None:
                slots = fresh
            else:
                slots.merge(fresh)
        return slots

    def _fitting(self, rows: list[Row], waiting: list[tuple[list[int], Request]]) -> list[tuple[list[int], Request]]:
        """Take those that have room beside the rows; where there are none, one in any case."""
        taken: list[tuple[list[int], Request]] = []
        budget = self._room.cached - sum(row.prompt_tokens + row.limit for row in rows)
        while waiting and len(rows) + len(taken) < self._room.rows:
            prompt, request = waiting[-1]
            budget -= len(prompt) + self._limit(prompt, request)
            width = len(taken[0][0]) if taken else 0
            if (budget < 0 and (taken or rows)) or width * (len(taken) + 1) > self._room.prompt:
                break
            taken.append(waiting.pop())
        return taken

    def _run(self, slots: Slots) -> list[Row]:
        """Decode until enough rows are done to be worth taking out."""
        enough = max(1, len(slots.rows) // 8)
        while sum(row.done for row in slots.rows) < enough:
            drawing = sum(not row.done for row in slots.rows)
            slots.step()
            self._drawn.step(drawing)
        return slots.drop_done()

    def _limit(self, prompt: list[int], request: Request) -> int:
        return max(1, min(request.sampling.max_tokens, self._context - len(prompt)))

    def close(self) -> None:
        self._model = None
        if self._device == "cuda":
            torch.cuda.empty_cache()


def describe(device: str, threads: int) -> dict[str, Any]:
    """What manifests say of the engine on a device."""
    versions = {"engine": "transformers", "transformers": transformers.__version__, "torch": torch.__version__}
    if device == "cpu":
        # Another number of threads adds up in another order.
        return {**versions, "device": "cpu", "dtype": "float32", "threads": threads, "repeatable": True}
    return {**versions, "device": torch.cuda.get_device_name(), "dtype": "bfloat16", "repeatable": False}


def _rows(slots: Slots | None) -> list[Row]:
    return slots.rows if slots else []
