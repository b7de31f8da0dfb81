"""Is a question one of a benchmark's items? Exact and n-gram overlap of normalised words.

Words are runs of letters and digits in lower case; wide and ligated forms (Unicode's NFKC) count as the plain ones, and
invisible signs (zero-width, soft hyphens, directions) as nothing. A question is contaminated where its words are an
item's words, or where it shares 13 words in a row with an item; an item of 8 to 12 words must be held
whole. Shorter items count only where the whole question equals them: short runs occur in many questions.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

NGRAM = 13
SHORTEST = 8
_WORD = re.compile(r"\w+")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")


class Items:
    """The words of benchmark items, for look-up."""

    def __init__(self) -> None:
        self._whole: dict[int, str] = {}
        self._runs: dict[int, str] = {}
        self._lengths: set[int] = set()

    def add(self, benchmark: str, questions: Iterable[str]) -> int:
        """Add one benchmark's questions; how many that were."""
        count = 0
        for question in questions:
            count += 1
            words = words_of(question)
            if not words:
                continue
            self._whole.setdefault(_hash(words), benchmark)
            if len(words) >= SHORTEST:
                size = min(NGRAM, len(words))
                self._lengths.add(size)
                for run in _runs(words, size):
                    self._runs.setdefault(_hash(run), benchmark)
        return count

    def holding(self, question: str) -> str | None:
        """The benchmark that a question overlaps with; None where there is none."""
        words = words_of(question)
        if (benchmark := self._whole.get(_hash(words))) is not None:
            return benchmark
        for size in self._lengths:
            for run in _runs(words, size):
                if (benchmark := self._runs.get(_hash(run))) is not None:
                    return benchmark
        return None


def words_of(text: str) -> list[str]:
    """The normalised words that are compared."""
    if not text.isascii():
        text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
    return _WORD.findall(text.lower())


def _runs(words: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(len(words) - size + 1):
        yield words[start : start + size]


def _hash(words: Sequence[str]) -> int:
    return int.from_bytes(hashlib.blake2b(" ".join(words).encode("utf-8", "replace"), digest_size=8).digest())
