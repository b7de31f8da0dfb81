"""How often the interval of an arm holds the truth: by items alone beside items and training seeds together.

python -m rsft_assets_tests.benchmarks.seed_intervals [--trials 1500]

Simulated arms whose gain differs by seed and by item. `staging/arm_differences.sql` adds the two variances; taking
their overlap out ("net") gives narrower intervals that hold less often than they say, items alone far less often.
"""

import argparse

import numpy as np
from scipy import stats

CASES = (
    (3, 100, 1, 0.0),
    (3, 100, 1, 0.02),
    (3, 100, 1, 0.05),
    (3, 200, 4, 0.05),
    (3, 200, 4, 0.10),
    (5, 200, 1, 0.05),
)
"""Seeds, items, samples an item, spread of the seeds' gains."""
GAIN, UNEVEN = 0.1, 0.03


def chances(rng: np.random.Generator, items: int) -> np.ndarray:
    return stats.norm.cdf(rng.normal(0, 1, items))


def truth(spread: float) -> float:
    rng, many = np.random.default_rng(1), 400_000
    before = chances(rng, many)
    after = np.clip(before + GAIN + rng.normal(0, spread, many) + rng.normal(0, UNEVEN, many), 0, 1)
    return float((after - before).mean())


def changes(rng: np.random.Generator, seeds: int, items: int, samples: int, spread: float) -> np.ndarray:
    """Paired differences by seed and item; the base's answers are the same for every seed."""
    before, by_item = chances(rng, items), rng.normal(0, UNEVEN, items)
    base = rng.binomial(samples, before) / samples
    after = np.clip(before + GAIN + rng.normal(0, spread, (seeds, 1)) + by_item, 0, 1)
    return rng.binomial(samples, after) / samples - base


def half_widths(found: np.ndarray) -> dict[str, float]:
    seeds, items = found.shape
    by_item, by_seed = found.mean(axis=0), found.mean(axis=1)
    of_items, of_seeds = by_item.var(ddof=1) / items, by_seed.var(ddof=1) / seeds
    rest = found - by_item - by_seed[:, None] + found.mean()
    overlap = (rest**2).sum() / ((seeds - 1) * (items - 1)) / (seeds * items)
    widths = {}
    for name, part in (("items", 0.0), ("net", max(0.0, of_seeds - overlap)), ("items and seeds", of_seeds)):
        variance = of_items + part
        freedom = variance**2 / (of_items**2 / (items - 1) + part**2 / (seeds - 1))
        widths[name] = stats.t.ppf(0.975, max(1.0, freedom)) * np.sqrt(variance)
    return widths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1_500)
    trials = parser.parse_args().trials
    rng = np.random.default_rng(0)
    print("seeds items samples spread   share of 95 % intervals that hold the truth (mean half-width, points)")
    for case in CASES:
        seeds, items, samples, spread = case
        real, held, wide = truth(spread), {}, {}
        for _ in range(trials):
            found = changes(rng, *case)
            for name, half in half_widths(found).items():
                held[name] = held.get(name, 0) + (abs(found.mean() - real) <= half)
                wide[name] = wide.get(name, 0.0) + half
        words = "   ".join(f"{name} {held[name] / trials:.3f} ({100 * wide[name] / trials:.1f})" for name in held)
        print(f"{seeds:>5} {items:>5} {samples:>7} {spread:>6}   {words}")


if __name__ == "__main__":
    main()
