"""Training rows as tokens: prompt through the chat template, response apart, one end token, prompt masked.

In: a training set's Parquet file or plain documents, a tokenizer, a length limit. Out: a folder of flat
arrays that every training process maps into memory.
"""

import hashlib
import itertools
import json
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from rsft_assets.specs.errors import StepError

_ROWS_AT_ONCE = 1_024
_DEFAULT_SYSTEM = re.compile(
    r"\{\{-?\s*'<\|im_start\|>system(?:\\n|\n)(?:You are[^']*)<\|im_end\|>(?:\\n|\n)'\s*-?\}\}", flags=re.DOTALL
)
_ARRAYS = ("ids", "ends", "prompts", "cut")


@dataclass(frozen=True)
class Tokens:
    """Rows as one flat array of token ids."""

    ids: np.ndarray
    ends: np.ndarray
    """Where each row ends."""
    prompts: np.ndarray
    """Tokens of each row that are only context."""
    cut: np.ndarray
    """Tokens that each row lost to the length limit."""

    def __len__(self) -> int:
        return len(self.ends)

    def row(self, index: int) -> np.ndarray:
        start = self.ends[index - 1] if index else 0
        row: np.ndarray = self.ids[start : self.ends[index]]
        return row

    @property
    def lengths(self) -> np.ndarray:
        lengths: np.ndarray = np.diff(self.ends, prepend=0)
        return lengths

    @property
    def trained(self) -> np.ndarray:
        """Tokens of each row that enter the loss: none where the limit left no response."""
        trained: np.ndarray = np.maximum(self.lengths - np.maximum(self.prompts, 1), 0)
        return trained

    def save(self, folder: Path) -> None:
        """Publish by rename: a folder of this name is complete."""
        aside = folder.with_name(f"{folder.name}.writing")
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        for name in _ARRAYS:
            np.save(aside / f"{name}.npy", getattr(self, name))
        shutil.rmtree(folder, ignore_errors=True)
        aside.rename(folder)

    @classmethod
    def load(cls, folder: Path) -> "Tokens":
        return cls(**{name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS})

    def summary(self) -> dict[str, Any]:
        """The lengths of these rows, and what the limit cuts, in numbers."""
        lengths = self.lengths
        return {
            "rows": len(self),
            "tokens": int(lengths.sum()),
            "trained_tokens": int(self.trained.sum()),
            "length_median": int(np.median(lengths)),
            "length_p99": int(np.percentile(lengths, 99)),
            "length_max": int(lengths.max()),
            "cut_rows": int((self.cut > 0).sum()),
            "cut_tokens": int(self.cut.sum()),
            "rows_without_response": int((self.trained == 0).sum()),
        }


def collect(rows: Iterable[tuple[Sequence[int], int]], limit: int) -> Tokens:
    """Rows of (token ids, prompt length) as arrays, cut on the right."""
    parts: list[np.ndarray] = []
    ends, prompts, cut = [], [], []
    end = 0
    for ids, prompt in rows:
        kept = np.asarray(ids[:limit], dtype=np.int32)
        parts.append(kept)
        end += len(kept)
        ends.append(end)
        prompts.append(min(prompt, len(kept)))
        cut.append(max(0, len(ids) - limit))
    return Tokens(np.concatenate(parts), *(np.asarray(values, dtype=np.int64) for values in (ends, prompts, cut)))


def training_rows(path: Path, tokenizer: Any) -> Iterator[tuple[list[int], int]]:
    """(token ids, prompt length) of every example of a training set."""
    end = tokenizer.eos_token_id
    number = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_ROWS_AT_ONCE, columns=["message", "response"]):
            messages, responses = batch["message"].to_pylist(), batch["response"].to_pylist()
            empty = [number + i for i, response in enumerate(responses) if not response.strip()]
            if empty:
                raise StepError(
                    f"{path}: row {empty[0]} has an empty response"
                    + (f" (and {len(empty) - 1} more near it)" if len(empty) > 1 else "")
                    + "; a model would learn empty answers, so build the training set again without it"
                )
            prompts = prompt_texts(tokenizer, messages)
            prompt_ids = tokenizer(prompts, add_special_tokens=False)["input_ids"]
            response_ids = tokenizer(responses, add_special_tokens=False)["input_ids"]
            for prompt, response in zip(prompt_ids, response_ids, strict=True):
                yield [*prompt, *response, end], len(prompt)
            number += len(messages)


def prompt_texts(tokenizer: Any, messages: list[list[dict[str, str]]]) -> list[str]:
    """Chat turns as the model sees them, up to where its answer begins."""
    texts: list[str] = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return texts


def document_rows(texts: Iterable[str], tokenizer: Any) -> Iterator[tuple[list[int], int]]:
    """(token ids, 0) of plain documents: every token is trained."""
    end, texts = tokenizer.eos_token_id, iter(texts)
    while some := list(itertools.islice(texts, _ROWS_AT_ONCE)):
        yield from (([*ids, end], 0) for ids in tokenizer(some, add_special_tokens=False)["input_ids"])


def drop_default_system_prompt(tokenizer: Any) -> None:
    """Take the system turn that a chat template adds of its own out of the template."""
    tokenizer.chat_template = _DEFAULT_SYSTEM.sub("", tokenizer.chat_template)
    shown = prompt_texts(tokenizer, [[{"role": "user", "content": "x"}]])[0]
    if "system" in shown:
        raise StepError(
            f"the chat template in {tokenizer.name_or_path} still adds a system turn ({shown[:80]!r}); "
            "its form is unknown here, so give the model a template without one"
        )


def describe(tokens: Tokens, name: str, limit: int) -> str:
    """One line on the lengths of a training set under a tokenizer, and what will be cut."""
    facts = tokens.summary()
    lost = f"{facts['cut_rows']} rows lose {facts['cut_tokens']} tokens" if facts["cut_rows"] else "nothing is cut"
    if facts["rows_without_response"]:
        lost += f", {facts['rows_without_response']} of them their whole response"
    return (
        f"{name}: {facts['rows']} rows, {facts['tokens']} tokens, median {facts['length_median']}, "
        f"99 % up to {facts['length_p99']}, longest {facts['length_max']} (limit {limit}: {lost})"
    )


def key_of(**facts: Any) -> str:
    """A short name for a tokenised set: everything that decides its content."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
