r"""A pool of long responses for the verifier's benchmark, built from real answers.

Comes in: the folder of real data. Goes out: queries with 32 responses each, `<think>` long real reasoning `</think>`
and a real answer to the query. A query has 2 to 12 real answers; each use drops another number of leading paragraphs,
so that texts differ where answers are equal, as in samples of one teacher. Reasoning is drawn from real long chains of
thought, 4,000 to 50,000 characters, median 16,000.
"""

import gzip
import json
import random
from pathlib import Path
from typing import NamedTuple

SAMPLES = 32
_LOOP_SHARE = 0.3


class PoolAnswer(NamedTuple):
    """One response of the pool."""

    gold: str
    tail: str
    whole: str


def load_pool(data: Path, queries: int, seed: int = 0) -> list[PoolAnswer]:
    """`queries` queries in random order with 32 responses each, neighbours in the list."""
    rng = random.Random(seed)
    by_query: dict[tuple[str, str], list[str]] = {}
    for name in ("skythought_pairs", "qwen_math_maj8_pairs"):
        for row in read_rows(data, name):
            if not _is_loop(row["response"]):
                by_query.setdefault((row["problem"], row.get("gold_raw") or row["gold"]), []).append(row["response"])
    thoughts = _thoughts(data)
    chosen = rng.sample(sorted(by_query), min(queries, len(by_query)))
    return [
        _answer(rng, gold, rng.choice(by_query[problem, gold]), thoughts)
        for problem, gold in chosen
        for _ in range(SAMPLES)
    ]


def read_rows(data: Path, name: str) -> list[dict[str, str]]:
    """The rows of one file of real answers."""
    with gzip.open(data / "math_responses" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def loops(data: Path) -> list[PoolAnswer]:
    """Real answers that end in a loop of boxes."""
    rows = read_rows(data, "skythought_pairs")
    return [PoolAnswer(row["gold_raw"], row["response"], row["response"]) for row in rows if _is_loop(row["response"])]


def _answer(rng: random.Random, gold: str, response: str, thoughts: list[str]) -> PoolAnswer:
    paragraphs = response.split("\n\n")
    tail = "\n\n" + "\n\n".join(paragraphs[rng.randrange(max(1, len(paragraphs) - 1)) :])
    length = min(50_000, max(4_000, int(rng.lognormvariate(9.68, 0.7))))
    start = rng.randrange(len(thoughts))
    thinking: list[str] = []
    size = 0
    for step in range(len(thoughts)):
        thinking.append(thoughts[(start + step) % len(thoughts)])
        size += len(thinking[-1]) + 2
        if size >= length:
            break
    return PoolAnswer(gold, tail, "<think>\n" + "\n\n".join(thinking) + "\n</think>" + tail)


def _thoughts(data: Path) -> list[str]:
    texts = [row["response"] for row in read_rows(data, "skythought_longcot")]
    return [
        paragraph for text in texts if not _is_loop(text) for paragraph in text.split("\n\n") if len(paragraph) < 3_000
    ]


def _is_loop(text: str) -> bool:
    """Whether most of the end of a text repeats itself."""
    end = text[-4_000:]
    return text.count(r"\boxed{") > 20 or (
        len(end) == 4_000 and len(set(end.split())) < _LOOP_SHARE * 0.2 * len(end.split())
    )
