"""Completions: what a checkpoint answered to a benchmark, stored before anything is graded.

Addressed by content, `<home>/completions/<benchmark>/<fingerprint>/`, of checkpoint digest, benchmark digest,
user turns and sampling. So grading again never generates again, and checkpoints with the same weights (step 0 of
every run of a model) share one set. While it grows, each completion is one line of a journal, written the moment it
finishes; a killed process loses what was in flight. Then `completions.parquet` is written, the manifest last.
"""

import hashlib
import json
import logging
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.fingerprint import SHORT, canonical, fingerprint
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.responses import Sampling
from rsft_assets.steps.engines.protocol import FILTERED, Completion, Request, in_groups, request_seed
from rsft_assets.steps.records.journal import Journal
from rsft_assets.steps.records.manifest import InputRecord, NewerManifest, describe
from rsft_assets.steps.records.rows import RowWriter, read_rows
from rsft_assets.steps.records.store import Output
from rsft_assets.steps.scores.repetition import ends_in_loop

log = logging.getLogger(__name__)
FILE_NAME = "completions.parquet"
_JOURNAL = ".completions.jsonl"
DAMAGED = ".damaged-"
"""In the name of a set that was put aside."""


@dataclass(frozen=True)
class Asked:
    """One item as it is put to the model."""

    item_id: str
    user_turn: str


@dataclass
class CompletionSet:
    """All samples of one benchmark by one checkpoint, finished or growing."""

    home: Path
    benchmark: str
    asked: list[Asked]
    sampling: Sampling
    inputs: list[InputRecord]
    """Checkpoint and benchmark."""
    system_dropped: bool = False
    stops: tuple[int, ...] = ()
    """Tokens that end a text beside the model's end token."""
    _journal: Journal | None = None
    _engine: str = ""
    _started: float = field(default_factory=time.time)

    @property
    def identity(self) -> dict[str, Any]:
        turns = hashlib.sha256()
        for asked in self.asked:
            turns.update(json.dumps([asked.item_id, asked.user_turn]).encode())
        return {
            "inputs": [[entry.asset.partition("/")[0], entry.digest] for entry in self.inputs],
            "user_turns": turns.hexdigest(),
            "sampling": canonical(self.sampling),
            "system_dropped": self.system_dropped,
            **({"stops": list(self.stops)} if self.stops else {}),
        }

    @property
    def folder(self) -> Path:
        return self._slot / fingerprint(self.identity)[:SHORT]

    @property
    def lock(self) -> Path:
        return self._slot / f".lock-{self.folder.name}"

    @property
    def _slot(self) -> Path:
        return self.home / "completions" / self.benchmark

    @property
    def _work(self) -> Path:
        return self._slot / f".building-{self.folder.name}"

    @property
    def total(self) -> int:
        return len(self.asked) * self.sampling.n

    def finished(self) -> Output | None:
        """The finished set with every byte checked; a damaged one is put aside under a telling name."""
        if not self.folder.is_dir():
            return None
        try:
            output = Output.at(self.folder)
            problem = output.damage(content=True)
        except NewerManifest:
            raise
        except StepError as error:
            problem = str(error)
        if problem:
            aside = self.folder.with_name(f"{self.folder.name}{DAMAGED}{int(time.time())}")
            log.warning("completions of %s are damaged: %s; put aside as %s", self.benchmark, problem, aside.name)
            self.folder.rename(aside)
            return None
        return output

    def resume(self, engine: str, *, repeatable: bool) -> int:
        """Look at what earlier tries left; how many completions are there already.

        A repeatable engine keeps only groups that it answered in whole: the rest of a group would be another batch.
        """
        self._work.mkdir(parents=True, exist_ok=True)
        self._journal, self._engine = Journal(self._work / _JOURNAL, key="key"), engine[:SHORT]
        for group in in_groups(self._keys) if repeatable else ():
            self._journal.keep_whole(group, self._engine)
        return len(self._journal)

    def missing(self, render: Any, tag: str) -> Iterator[Request]:
        """A request for each sample that is not there yet; its id starts with `tag` and a line break."""
        turns = {asked.item_id: asked.user_turn for asked in self.asked}
        for number, group in enumerate(in_groups(self._keys)):
            for key in group:
                if key not in self._grown:
                    item_id, _, sample = key.rpartition("\n")
                    prompt = render([{"role": "user", "content": turns[item_id]}], self.sampling)
                    seed = request_seed(self.sampling.seed, item_id, int(sample))
                    group_name = f"{tag}\n{number}"
                    yield Request(f"{tag}\n{key}", prompt, self.sampling, seed, group_name, self.stops)

    @property
    def _keys(self) -> list[str]:
        return [_key(asked.item_id, sample) for asked in self.asked for sample in range(self.sampling.n)]

    def add(self, request: Request, completion: Completion) -> None:
        """Put one completion on disk."""
        _, item_id, sample = request.id.split("\n")
        row = {
            "key": _key(item_id, int(sample)),
            "item_id": item_id,
            "sample": int(sample),
            "seed": request.seed,
            "prompt_sha256": hashlib.sha256(request.prompt.encode()).hexdigest(),
            "text": completion.text,
            "prompt_tokens": completion.prompt_tokens,
            "response_tokens": completion.response_tokens,
            "finish_reason": completion.finish_reason,
            "think_closed": think_closed(completion.text),
            "ended_by_eos": completion.ended_by_eos,
            "repetition_loop": ends_in_loop(completion.text),
            "engine": self._engine,
        }
        self._grown.append([row])

    def publish(self, made_by: dict[str, Any], tokens_per_second: float = 0.0, parameters: int = 0) -> Output:
        """Write the Parquet file in the items' order and the manifest, and rename into place.

        The speed is that of the engine, all sets that it drew together: tokens, and two operations for each of them and
        each parameter, prompts and attention apart.
        """
        stats = self._write_parquet(self._work / FILE_NAME)
        if tokens_per_second:
            stats["tokens_per_second"] = round(tokens_per_second, 1)
            stats["flops_per_second"] = float(f"{2 * parameters * tokens_per_second:.4g}")
        manifest = describe(
            self._work,
            Ref(f"completions/{self.benchmark}"),
            fingerprint=fingerprint(self.identity),
            spec=self.identity,
            inputs=self.inputs,
            made_by=made_by,
            started=self._started,
            stats=stats,
        )
        self.close()
        (self._work / _JOURNAL).unlink()
        self._work.rename(self.folder)
        return Output(self.folder, manifest)

    def close(self) -> None:
        """Make what was added survive a power cut, and let go of the file."""
        if self._journal is not None:
            self._journal.flush()
            self._journal.close()
            self._journal = None

    @property
    def _grown(self) -> Journal:
        if self._journal is None:
            raise RuntimeError("resume() comes before anything else")
        return self._journal

    def _write_parquet(self, path: Path) -> dict[str, Any]:
        names = ("completions", "response_tokens", "cut_off", "filtered", "repetition_loops", "think_not_closed")
        stats: dict[str, Any] = dict.fromkeys(names, 0)
        engines: Counter[str] = Counter()
        with RowWriter(path, "completions") as rows:
            for asked in self.asked:
                for sample in range(self.sampling.n):
                    row = self._grown[_key(asked.item_id, sample)]
                    rows.add(row)
                    engines[row.get("engine", "unknown")] += 1
                    stats["completions"] += 1
                    stats["response_tokens"] += row["response_tokens"]
                    stats["cut_off"] += row["finish_reason"] == "length"
                    stats["filtered"] += row["finish_reason"] == FILTERED
                    stats["repetition_loops"] += row["repetition_loop"]
                    stats["think_not_closed"] += row["think_closed"] is False
        # By fingerprint, where a set was begun with one engine and finished with another.
        return {**stats, "engines": dict(sorted(engines.items()))} if len(engines) > 1 else stats


def read_completions(output: Output, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """Rows of a finished set, in the items' order, a batch in memory at a time."""
    return read_rows(output.file(FILE_NAME), columns)


def think_closed(text: str) -> bool | None:
    """Whether thinking ended; None where the text never thought."""
    opened, closed = text.rfind("<think>"), text.rfind("</think>")
    return None if opened < 0 and closed < 0 else closed > opened


def _key(item_id: str, sample: int) -> str:
    return f"{item_id}\n{sample}"
