"""Critical values of max-T over all pairs of steps: makes `dbt_like_sql/seeds/max_t.csv`, or shows that they hold.

python -m rsft_assets_tests.benchmarks.step_intervals [--table FILE] [--trials 20000]

Each difference between two steps is divided by its own standard error, so the largest of them is not Tukey's
studentized range, which divides by a common one: with few degrees of freedom his values hold far less often than they
say. Steps that answer the same items are correlated. The table assumes that all are equally so, which is the least
favourable of the cases below; "own covariance" is what a bootstrap of the items would find.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import stats

STEPS = (*range(2, 17), 18, 20, 24, 28, 32, 36, 40, 60, 100)
SIMULATED_STEPS = 40
"""Above this many steps Bonferroni's value stands in the table; it is larger."""
TENTHS = (10, 15, 20, 25, 30, 40, 50, 60, 80, 100, 120, 150, 200, 300, 400)
MANY_TENTHS = (600, 800, 1000, 1500, 2000, 3000, 5000, 10_000, 100_000)
DRAWS = 200_000
HEADER = """\
# How wide an interval must be where two steps of a run were picked after looking: the 95 % quantile of the largest
# |difference| / standard error over all pairs of steps (max-T), steps equally correlated and each difference with a
# standard error of its own. Simulated from 4 to 40 degrees of freedom and up to 40 steps, good to 0.5 %; exact for two
# steps and, by the studentized range, for infinitely many degrees, to which more than 40 lead in proportion to one over
# their number. Elsewhere Bonferroni's. Between two rows take more steps and fewer degrees of freedom.
# Made by `python -m rsft_assets_tests.benchmarks.step_intervals --table dbt_like_sql/seeds/max_t.csv`.
# grain: steps, tenths
# column steps: steps that were looked at, the base included
# column tenths: degrees of freedom, in tenths
# column t: standard errors each way
"""


def pairs_of(steps: int) -> int:
    return steps * (steps - 1) // 2


def bonferroni(steps: int, freedom: float) -> float:
    return float(stats.t.isf(0.025 / pairs_of(steps), freedom))


def tukey(steps: int, freedom: float = np.inf) -> float:
    return float(stats.studentized_range.isf(0.05, steps, freedom) / np.sqrt(2))


def largest(rng: np.random.Generator, steps: int, freedom: int, draws: int, scale: np.ndarray) -> np.ndarray:
    """The largest |difference| / own standard error over all pairs; `scale` @ its transpose is the covariance."""
    first, second = np.triu_indices(steps, 1)
    found = []
    size = max(1, 2_000_000 // (steps * max(freedom, steps)))
    for start in range(0, draws, size):
        count = min(size, draws - start)
        means = rng.standard_normal((count, steps)) @ scale.T
        rows = rng.standard_normal((count, freedom, steps)) @ scale.T
        spread = np.swapaxes(rows, 1, 2) @ rows / freedom
        own = np.diagonal(spread, axis1=1, axis2=2)
        variance = own[:, first] + own[:, second] - 2 * spread[:, first, second]
        found.append((np.abs(means[:, first] - means[:, second]) / np.sqrt(variance)).max(axis=1))
    return np.concatenate(found)


def critical_values(rng: np.random.Generator, steps: int, draws: int) -> dict[int, float]:
    """Tenths of a degree of freedom -> standard errors each way."""
    values = {tenths: bonferroni(steps, tenths / 10) for tenths in (*TENTHS, *MANY_TENTHS)}
    if 2 < steps <= SIMULATED_STEPS:
        for tenths in (tenths for tenths in TENTHS if tenths >= 40):
            simulated = np.quantile(largest(rng, steps, tenths // 10, draws, np.eye(steps)), 0.95)
            values[tenths] = min(values[tenths], float(simulated))
        last, limit = TENTHS[-1], tukey(steps)
        for tenths in MANY_TENTHS:
            values[tenths] = limit + (values[last] - limit) * last / tenths
    return values


def write_table(path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = [
        f"{steps},{tenths},{t:.4f}\n"
        for steps in STEPS
        for tenths, t in critical_values(rng, steps, DRAWS).items()
    ]  # fmt: skip
    path.write_text(HEADER + "steps,tenths,t\n" + "".join(lines))


def table() -> Callable[[int, int], float]:
    path = Path(__file__).parents[2] / "dbt_like_sql" / "seeds" / "max_t.csv"
    lines = [line.split(",") for line in path.read_text().splitlines() if line[0].isdigit()]
    found = {(int(steps), int(tenths)): float(t) for steps, tenths, t in lines}
    return lambda steps, freedom: found[steps, max(t for s, t in found if s == steps and t <= 10 * freedom)]


def covariance(name: str, steps: int) -> np.ndarray:
    """Of the steps' scores: unrelated, alike neighbours, or changes that add up."""
    places = np.arange(steps)
    apart = np.abs(places[:, None] - places)
    return {
        "unrelated": np.eye(steps),
        "neighbours alike": 0.8**apart,
        "changes add up": 1.0 + np.minimum(places[:, None], places),
    }[name]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, metavar="FILE", help="write the table of critical values here")
    parser.add_argument("--trials", type=int, default=20_000)
    arguments = parser.parse_args()
    if arguments.table:
        write_table(arguments.table)
        return
    rng, of_table = np.random.default_rng(1), table()
    print("no step differs: share of trajectories in which an interval of 95 % leaves out 0 (width, standard errors)")
    for steps, freedom in ((9, 2), (9, 4), (9, 10), (9, 30), (9, 300), (14, 30), (14, 300)):
        widths = {"Bonferroni": bonferroni(steps, freedom), "max-T": of_table(steps, freedom)}
        widths["Tukey"] = tukey(steps, freedom)
        for name in ("unrelated", "neighbours alike", "changes add up"):
            scale = np.linalg.cholesky(covariance(name, steps))
            found = largest(rng, steps, freedom, arguments.trials, scale)
            words = "   ".join(f"{which} {(found > t).mean():.3f} ({t:.2f})" for which, t in widths.items())
            own = f"own covariance ({np.quantile(found, 0.95):.2f})"
            print(f"{steps:>3} steps {freedom:>4} degrees of freedom, {name:<17} {words}   {own}")


if __name__ == "__main__":
    main()
