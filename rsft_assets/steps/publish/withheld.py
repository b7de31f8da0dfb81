"""What is never published: items of gated and of sensitive benchmarks, and paths of this machine.

Texts are compared as words, as decontamination does: 13 words in a row of an item's question, or all of a shorter one.
Completions and graded answers need no search: nothing here reads them.
"""

import html
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rsft_assets.specs.hub import Hub
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.study import Study
from rsft_assets.steps.datasets.decontamination import NGRAM, SHORTEST, words_of
from rsft_assets.steps.publish.lineage import gated_repositories
from rsft_assets.steps.publish.publication import Publication
from rsft_assets.steps.records.rows import read_rows
from rsft_assets.steps.records.store import Store

_KEY = 4
"""Words by which a run is looked up; questions with fewer count only as a whole text."""
_TAG = re.compile(r"<[^>]*>")
_NO_TEXT = (".safetensors", ".model")


class Withheld:
    """The texts that may not leave."""

    def __init__(self, study: Study, store: Store) -> None:
        self._runs: dict[tuple[str, ...], list[tuple[tuple[str, ...], str]]] = defaultdict(list)
        self._whole: dict[tuple[str, ...], str] = {}
        self._home = f"{store.home}/"
        gated = gated_repositories(study)
        for benchmark in study.benchmarks.values():
            origin = benchmark.origin
            if benchmark.sensitive or (isinstance(origin, Hub) and (origin.gated or origin.repo in gated)):
                # An item of a damaged lock could not be recognised: that is an error.
                output = store.current(Ref(f"benchmarks/{benchmark.name}"))
                if output is not None and output.has("items.parquet"):
                    self._add(output.verified().file("items.parquet"), benchmark.name)

    def _add(self, items: Path, benchmark: str) -> None:
        for row in read_rows(items, ["question", "gold", "fields"]):
            question = tuple(words_of(row["question"]))
            self._whole[question] = benchmark
            self._add_runs(question, benchmark)
            for text in (row["gold"] or "", *_strings(json.loads(row["fields"]))):
                # Short golds and options, such as numbers, are in many texts.
                if len(words := tuple(words_of(text))) >= SHORTEST:
                    self._add_runs(words, benchmark)

    def _add_runs(self, words: tuple[str, ...], benchmark: str) -> None:
        size = min(NGRAM, len(words))
        if size >= _KEY:
            for start in range(len(words) - size + 1):
                run = words[start : start + size]
                self._runs[run[:_KEY]].append((run, benchmark))

    def problem(self, text: str) -> str | None:
        """Why a text may not leave, without its words."""
        if self._home in text:
            return "a path in RSFT_HOME"
        words = words_of(text)
        if len(words) < _KEY:
            benchmark = self._whole.get(tuple(words)) if words else None
            return f"an item of {benchmark}" if benchmark else None
        if self._runs:
            for start, key in enumerate(zip(words, words[1:], words[2:], words[3:], strict=False)):
                for run, benchmark in self._runs.get(key, ()):
                    if tuple(words[start : start + len(run)]) == run:
                        return f"an item of {benchmark}"
        return None

    def held_by(self, publication: Publication) -> str | None:
        """The first file that holds such a text, in words."""
        for name, content in sorted(publication.files.items()):
            if why := self._in_file(name, content):
                return f"{name} holds {why}"
        return None

    def _in_file(self, name: str, content: Path | bytes) -> str | None:
        if name.endswith(_NO_TEXT):
            return None
        return next(filter(None, map(self.problem, _texts(name, content))), None)


def _texts(name: str, content: Path | bytes) -> Iterator[str]:
    if name.endswith(".parquet"):
        yield from _texts_of_table(content)
        return
    text = (content if isinstance(content, bytes) else content.read_bytes()).decode("utf-8", "replace")
    if name.endswith(".json"):
        try:
            yield from _strings(json.loads(text))
            return
        except ValueError:
            pass
    if name.endswith((".html", ".svg")):
        # Between tags, and within their attributes.
        yield html.unescape(_TAG.sub(" ", text))
        text = html.unescape(text)
    yield text


def _texts_of_table(content: Path | bytes) -> Iterator[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(pa.BufferReader(content) if isinstance(content, bytes) else content) as file:
        for batch in file.iter_batches(batch_size=512):
            for column in batch.columns:
                yield from dict.fromkeys(_strings(column.to_pylist()))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from _strings(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _strings(inner)
