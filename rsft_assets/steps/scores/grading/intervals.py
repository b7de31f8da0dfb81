"""Means with 95 % intervals, clustered by item: samples of one item are not independent of each other."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

_Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Cluster:
    """One item: mean of its samples, how many there were, and its weight in the mean over items."""

    mean: float
    samples: int = 1
    weight: float = 1.0


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval; without an interval where one item is all there is."""

    value: float
    low: float | None
    high: float | None


def estimate(clusters: Sequence[Cluster], *, share: bool) -> Estimate:
    """Weighted mean over items. `share`: values lie in [0, 1], so the interval does too (Wilson's, at the number of
    independent answers that the scatter between items amounts to); else Student's.
    """
    total = sum(cluster.weight for cluster in clusters)
    value = sum(cluster.weight * cluster.mean for cluster in clusters) / total
    n = len(clusters)
    scatter = sum((cluster.weight * (cluster.mean - value)) ** 2 for cluster in clusters)
    if share:
        # With one answer an item the scatter follows from the share; with more it is estimated, as in Student's.
        z = t_quantile(n - 1) if 1 < n < sum(cluster.samples for cluster in clusters) else _Z
        return _wilson(value, _effective(clusters, value, scatter), z)
    if n < 2:
        return Estimate(value, None, None)
    half = t_quantile(n - 1) * math.sqrt(scatter * n / (n - 1)) / total
    return Estimate(value, value - half, value + half)


def _effective(clusters: Sequence[Cluster], value: float, scatter: float) -> float:
    """Independent yes-or-no answers with the same variance: no fewer than items, no more than samples."""
    total = sum(cluster.weight for cluster in clusters)
    least = total**2 / sum(cluster.weight**2 for cluster in clusters)
    if not 0 < value < 1:
        # Nothing was seen to vary; one answer an item is all that can be vouched for.
        return least
    n, samples = len(clusters), sum(cluster.samples for cluster in clusters)
    if samples > n:
        # Where few items are solved, the scatter misses those that were not drawn: two more are taken to scatter as
        # single answers do, at a share to which one right and one wrong answer are added.
        drawn_in = (n * value + 1) / (n + 2)
        scatter = (scatter + 2 * (total / n) ** 2 * drawn_in * (1 - drawn_in)) * (n - 1) / (n + 1)
    most = max(samples, least)
    variance = scatter / total**2 * n / max(n - 1, 1)
    effective = value * (1 - value) / variance if variance > 0 else most
    return min(max(effective, least - 1, 1), most)


def _wilson(share: float, n: float, z: float) -> Estimate:
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Estimate(share, max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share)))


def t_quantile(freedom: int) -> float:
    """97.5 % quantile of Student's distribution, by Cornish and Fisher's series; good to 1 % from 3 degrees on."""
    exact = {1: 12.706, 2: 4.303}
    if freedom in exact:
        return exact[freedom]
    z, v = _Z, freedom
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    )
