"""How often a score's interval holds the truth where few questions are ever solved, as AIME's at 2 to 10 % correct.

python -m rsft_assets_tests.benchmarks.edge_intervals [--trials 1500]

Questions differ in how often they are solved; a benchmark is a sample of them. For single scores: the grader's
interval, the same without its two further items and Student's quantile ("plain"), the mean's standard error clustered
by item ("clustered"), and what the SQL gives a published score, of which only items and share are known. For pass@k:
the grader's interval over the items' unbiased shares, as many samples an item as there are groups of k that share none.
For paired differences: pseudo-pairs weighted by one over the root of the samples, as the SQL has them, and by one over
the samples ("plain").
"""

import argparse
from collections.abc import Callable

import numpy as np
from scipy import special, stats

from rsft_assets.steps.scores.grading.intervals import Cluster, estimate

Z = 1.959964
SIZES = {"AIME": (30, 10), "GPQA": (198, 10), "MATH500": (500, 3), "nano": (300, 1)}
"""Items, samples an item."""
SHARES = (0.02, 0.035, 0.05, 0.1, 0.3, 0.5)
GROUPS = (2, 5, 10)
"""k of pass@k, where a benchmark has as many samples."""
GAINS = ((0.02, 0.02), (0.02, 0.1), (0.05, 0.2), (0.1, 0.1), (0.3, 0.4))
SPREAD, OWN = 2.0, 0.5
"""Between questions, and of one question between two checkpoints, in probits."""
Interval = tuple[float, float]


def wilson(share: float, n: float) -> Interval:
    middle, half = share * n + Z * Z / 2, Z * np.sqrt(share * (1 - share) * n + Z * Z / 4)
    return (middle - half) / (n + Z * Z), (middle + half) / (n + Z * Z)


def graded(means: np.ndarray, samples: int) -> Interval:
    found = estimate([Cluster(float(mean), samples) for mean in means], share=True)
    assert found.low is not None and found.high is not None
    return found.low, found.high


def plain(means: np.ndarray, samples: int) -> Interval:
    share, items = float(means.mean()), len(means)
    variance = means.var(ddof=1) / items
    least = items if share in (0, 1) else items - 1
    return wilson(share, np.clip(share * (1 - share) / variance if variance else least, least, items * samples))


def clustered(means: np.ndarray, samples: int) -> Interval:
    half = Z * means.std(ddof=1) / np.sqrt(len(means))
    return means.mean() - half, means.mean() + half


def published(means: np.ndarray, samples: int) -> Interval:
    return wilson(float(means.mean()), len(means))


def paired(weight: Callable[[int], float]) -> Callable[[np.ndarray, int], Interval]:
    def interval(changes: np.ndarray, samples: int) -> Interval:
        n = len(changes) + 2
        centre = changes.sum() / n
        variance = ((changes**2).sum() + weight(samples)) / n - centre**2
        half = stats.t.isf(0.025, n - 1) * np.sqrt(max(variance, 0) / n)
        return centre - half, centre + half

    return interval


SCORES = {"grader": graded, "plain": plain, "clustered": clustered, "published": published}
PAIRS = {"1 / root": paired(lambda samples: 1 / np.sqrt(samples)), "plain": paired(lambda samples: 1 / samples)}


def chances(share: float, ease: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """How often each question is solved, `share` on average."""
    whole = np.sqrt(1 + SPREAD**2 + OWN**2)
    return stats.norm.cdf(stats.norm.ppf(share) * whole + ease + OWN * rng.standard_normal(ease.shape))


def answered(rng: np.random.Generator, size: tuple[int, int], shares: tuple[float, ...]) -> list[np.ndarray]:
    """Mean of each item's samples, at each share, for the same questions."""
    items, samples = size
    ease = SPREAD * rng.standard_normal(items)
    return [rng.binomial(samples, chances(share, ease, rng)) / samples for share in shares]


def passed(means: np.ndarray, samples: int, k: int) -> np.ndarray:
    """Share of the ways to draw k of an item's samples in which one is solved."""
    failed = samples - np.rint(means * samples)
    return 1 - special.comb(failed, k) / special.comb(samples, k)


def true_pass(share: float, k: int, rng: np.random.Generator) -> float:
    """pass@k over all questions of the kind."""
    return float(np.mean(1 - (1 - chances(share, SPREAD * rng.standard_normal(2_000_000), rng)) ** k))


def told(
    intervals: dict[str, Callable[[np.ndarray, int], Interval]], drawn: list[np.ndarray], samples: int, truth: float
) -> str:
    words = []
    for name, interval in intervals.items():
        ends = np.array([interval(values, samples) for values in drawn])
        held = ((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean()
        words.append(f"{name} {held:.3f} ({100 * (ends[:, 1] - ends[:, 0]).mean():.1f})")
    return "   ".join(words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1_500)
    trials = parser.parse_args().trials
    rng = np.random.default_rng(0)
    print("share of 95 % intervals that hold the truth (mean width, points)")
    for name, size in SIZES.items():
        for share in SHARES:
            drawn = [answered(rng, size, (share,))[0] for _ in range(trials)]
            print(f"{name:<8} {size[0]:>3} x {size[1]:<2} at {share:<5}        {told(SCORES, drawn, size[1], share)}")
    for name, size in SIZES.items():
        for share, k in ((share, k) for share in SHARES for k in GROUPS if k <= size[1]):
            truth = true_pass(share, k, rng)
            drawn = [passed(answered(rng, size, (share,))[0], size[1], k) for _ in range(trials)]
            words = told({"grader": graded}, drawn, size[1] // k, truth)
            print(f"{name:<8} {size[0]:>3} x {size[1]:<2} at {share:<5} pass@{k:<3} {words}")
    for name, size in SIZES.items():
        for base, end in GAINS:
            pairs = [answered(rng, size, (base, end)) for _ in range(trials)]
            words = told(PAIRS, [after - before for before, after in pairs], size[1], end - base)
            print(f"{name:<8} {size[0]:>3} x {size[1]:<2} from {base:<4} to {end:<4} {words}")


if __name__ == "__main__":
    main()
