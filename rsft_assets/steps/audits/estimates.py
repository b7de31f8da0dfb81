"""Shares estimated from a sample of queries, with 95 % intervals clustered by query."""

import math
from collections.abc import Iterable
from typing import Any

_Z = 1.959964


def share(clusters: Iterable[tuple[int, int]]) -> dict[str, Any]:
    """(hits, tries) of each query -> estimated share of hits; no tries, no estimate.

    Where nothing or everything hits, the spread says nothing, and the interval is Wilson's over queries.
    """
    counts = [(hits, tries) for hits, tries in clusters if tries]
    hits, tries, queries = sum(h for h, _ in counts), sum(t for _, t in counts), len(counts)
    if not tries:
        return {"value": None, "low": None, "high": None, "hits": 0, "tries": 0}
    value = hits / tries
    spread = math.sqrt(sum((h - value * t) ** 2 for h, t in counts)) / tries
    if queries > 1:
        spread *= math.sqrt(queries / (queries - 1))
    low, high = value - _Z * spread, value + _Z * spread
    if hits in (0, tries) or queries == 1:
        low, high = _wilson(value, queries)
    bounds = {"low": round(max(0.0, low), 6), "high": round(min(1.0, high), 6)}
    return {"value": round(value, 6), **bounds, "hits": hits, "tries": tries}


def _wilson(value: float, tries: int) -> tuple[float, float]:
    middle = (value + _Z**2 / (2 * tries)) / (1 + _Z**2 / tries)
    half = _Z / (1 + _Z**2 / tries) * math.sqrt(value * (1 - value) / tries + _Z**2 / (4 * tries**2))
    return middle - half, middle + half
