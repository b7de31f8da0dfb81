"""What is said about a finished set: checks, lengths, verdict mix, sample rows. Rows in, plain data out."""

import bisect
from collections import Counter
from collections.abc import Mapping
from typing import Any

from rsft_assets.specs.datasets import Dataset
from rsft_assets.steps.datasets.responses import problem_with_response

SAMPLE_ROWS = 3
_SAMPLE_CHARS = 600
_BINS = (0, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, 131_072)
_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)


def wants_box(dataset: Dataset) -> bool:
    """Whether every row must hold a boxed answer; human solutions, unverified and adopted responses need not."""
    return dataset.recipe not in ("one-any", "human-solution", "published")


class Facts:
    """Watches the rows of a set as they are written."""

    def __init__(self, dataset: Dataset, boxed: bool) -> None:
        self._dataset, self._boxed = dataset, boxed
        self._ours = dataset.recipe != "published"
        self._lengths: list[int] = []
        self._queries: set[str] = set()
        self._verdicts: Counter[str] = Counter()
        self._problems: Counter[str] = Counter()
        self._samples: list[dict[str, Any]] = []

    def see(self, row: Mapping[str, Any]) -> None:
        """One more row."""
        self._lengths.append(row["response_length"])
        self._queries.add(row["query_id"])
        self._verdicts[row["verdict"] or "not-judged"] += 1
        text = row["response"]
        if problem := problem_with_response(text, thinking=self._dataset.thinking, box=False):
            self._problems[problem] += 1
        if "\\boxed{" not in text:
            self._problems["no-box"] += 1
        if len(self._samples) < SAMPLE_ROWS:
            shown = {name: str(row[name])[:_SAMPLE_CHARS] for name in ("query_id", "question", "answer", "response")}
            self._samples.append(shown)

    def stats(self, contaminated: int) -> dict[str, Any]:
        """Everything a card shows and the asset checks read."""
        rows = len(self._lengths)
        no_box = self._problems.pop("no-box", 0)
        return {
            "rows": rows,
            "verdicts": dict(sorted(self._verdicts.items())),
            "response_characters": _quantiles(self._lengths),
            "length_histogram": _histogram(self._lengths),
            "sample_rows": self._samples,
            "checks": {
                "rows": _check(rows, self._dataset.rows),
                "duplicate_queries": self._flaws(rows - len(self._queries)),
                "malformed_thinking": {**self._flaws(self._problems.total()), "kinds": dict(self._problems)},
                "without_box": {**_check(no_box, 0), "passed": no_box == 0 or not self._boxed, "blocking": self._boxed},
                "contaminated": self._flaws(contaminated),
            },
        }

    def _flaws(self, flaws: int) -> dict[str, Any]:
        # What others published is adopted as it is: its flaws are shown, not a reason to stop.
        return {**_check(flaws, 0), "blocking": self._ours}


def _check(value: int, expected: int) -> dict[str, Any]:
    return {"passed": value == expected, "value": value, "expected": expected, "blocking": True}


def _quantiles(values: list[int]) -> dict[str, float]:
    if not values:
        return {}
    ordered = sorted(values)
    at = {f"p{round(q * 100)}": ordered[min(int(q * len(ordered)), len(ordered) - 1)] for q in _QUANTILES}
    return {"mean": round(sum(ordered) / len(ordered), 1), **at}


def _histogram(values: list[int]) -> list[dict[str, int]]:
    """Rows by length; each bin starts at `from` and ends before the next."""
    counts = Counter(bisect.bisect_right(_BINS, value) - 1 for value in values)
    return [{"from": _BINS[place], "rows": counts[place]} for place in sorted(counts)]
