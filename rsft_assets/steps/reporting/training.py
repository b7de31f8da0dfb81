"""Has it trained long enough? Does repetition pay? Do the answers grow, and is the growth real?"""

from collections import Counter
from typing import TYPE_CHECKING

from rsft_assets.steps.reporting.answer import Answer, Rows, ask, count_of, listed, percent, points

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# Where there is nothing of ours, the paper's own numbers are answered from, and said to be.
_SOURCE = """
    source = (SELECT CASE WHEN count(*) FILTER (WHERE source = 'ours') > 0 THEN 'ours' ELSE 'paper' END
              FROM staging.score_points WHERE study = $study AND step > 0)
    AND (source = 'paper' OR grader = 'strict') AND is_headline AND study = $study"""
_SKILLS = "benchmark_group <> 'safety'"
"""Of harm more is worse, so safety has a question of its own."""


def long_enough(db: "DuckDBPyConnection", study: str) -> Answer:
    """Dips, recoveries and regimes."""
    answer = Answer("long_enough", "Has it trained long enough?", figures=("dip_and_recovery", "optimization_regimes"))
    where = f"{_SOURCE} AND {_SKILLS}"
    rows = ask(db, f"SELECT * FROM marts.dip_and_recovery WHERE {where} ORDER BY fall_high NULLS LAST", study)
    judged = [row for row in rows if row["steps"] >= 3]
    dips = [row for row in judged if row["is_dip_beyond_noise"]]
    answer.table = "marts.dip_and_recovery"
    answer.columns = {
        **{"run": "run", "title": "benchmark", "shape": "shape", "peak_step": "from step", "dip_step": "to step"},
        **{"depth": "depth", "fall_low": "low", "fall_high": "high", "recovery_step": "recovered at"},
        **{
            "items_to_settle": "items to settle",
            "seeds_with_dip": "seeds with it",
            "seeds": "of seeds",
            "trace": "trace",
        },
    }
    answer.rows = [row for row in judged if row["shape"] != "never falls"]
    if not judged:
        answer.missing.append("No run has three scored steps yet, so no trajectory can be judged.")
        return answer
    answer.sentences.append(_dips(judged, dips))
    if dips:
        answer.sentences.append(_deepest(dips[0]))
    faint = [row for row in judged if row["shape"] == "falls, within noise"]
    if faint:
        least = min(faint, key=lambda row: row["items_to_settle"] or 10**9)
        answer.sentences.append(
            f"{count_of(len(faint), 'fall')} cannot be told from noise; the nearest to being settled is {least['run']} "
            f"on {least['title']}, which would take about {least['items_to_settle']:,} items at the spread seen here."
        )
    _regimes(db, study, answer)
    return answer


def _dips(judged: Rows, dips: Rows) -> str:
    back = sum(row["shape"] == "dips and recovers" for row in dips)
    words = (
        f"{len(dips)} of {len(judged)} trajectories dip beyond noise, after correcting for having looked for the "
        f"deepest fall; {back} of them recover beyond noise."
    )
    seeded = [row for row in dips if row["seeds"] > 1]
    if seeded:
        all_seeds = sum(row["seeds_with_dip"] == row["seeds"] for row in seeded)
        words += f" Of those with several training seeds, {all_seeds} of {len(seeded)} show it in every seed."
    return words


def _deepest(row: dict) -> str:  # type: ignore[type-arg]
    after = f"is made good by step {row['recovery_step']}" if row["recovery_step"] else "is not made good by the end"
    fall = points(-row["depth"], row["fall_low"], row["fall_high"], unit=row["unit"])
    return (
        f"The surest is {row['run']} on {row['title']}: from step {row['peak_step']} to step {row['dip_step']} it "
        f"changes by {fall}, and {after}."
    )


def _regimes(db: "DuckDBPyConnection", study: str, answer: Answer) -> None:
    rows = ask(
        db,
        f"SELECT regime, run, benchmark FROM marts.optimization_regimes WHERE {_SOURCE} AND {_SKILLS} "
        "AND regime NOT LIKE 'not available%'",
        study,
    )
    regimes = Counter(row["regime"].split(":")[0] for row in rows)
    judged = len(rows) - regimes["undecided"]
    if judged:
        told = [f"{regimes[name]} {name}" for name in ("under-fitted", "optimal", "over-fitted")]
        answer.sentences.append(f"Of {judged} run-benchmark pairs that can be judged at their end, {', '.join(told)}.")
    if regimes["undecided"]:
        words = "run-benchmark pairs have too few steps or no interval to be judged."
        answer.missing.append(f"{regimes['undecided']} {words}")


def repetition(db: "DuckDBPyConnection", study: str) -> Answer:
    """Schedules at equal steps."""
    answer = Answer("repetition", "Does it pay to repeat data?", figures=("schedule_comparison",))
    rows = ask(db, f"SELECT * FROM marts.schedule_comparison WHERE {_SOURCE} AND {_SKILLS}", study)
    others = [row for row in rows if not row["is_reference"] and row["difference"] is not None]
    answer.table = "marts.schedule_comparison"
    answer.columns = {
        **{"model": "model", "total_steps": "steps", "run": "run", "rows": "rows", "passes": "passes"},
        **{"title": "benchmark", "value": "score", "difference": "to reference", "difference_low": "low"},
        **{"difference_high": "high", "method": "method", "trace": "trace"},
    }
    answer.rows = rows
    if not others:
        answer.missing.append("No two settings of one model on the same data at equal steps are scored.")
        return answer
    for run in dict.fromkeys(row["run"] for row in others):
        mine = [row for row in others if row["run"] == run]
        worse = [row["title"] for row in mine if row["beyond_noise"] and row["difference"] < 0]
        better = [row["title"] for row in mine if row["beyond_noise"] and row["difference"] > 0]
        answer.sentences.append(
            f"{run} ({mine[0]['rows']:,} rows, {mine[0]['passes']:g} passes) against {mine[0]['reference_run']} at "
            f"equal steps: beyond noise worse on {listed(worse) or 'none'}, better on {listed(better) or 'none'}, of "
            f"{count_of(len(mine), 'benchmark')}."
        )
    return answer


def length(db: "DuckDBPyConnection", study: str) -> Answer:
    """Growth of the answers and its causes."""
    answer = Answer("length", "Do the answers grow, and is the growth real?", figures=("response_length",))
    rows = ask(db, "SELECT * FROM marts.response_length WHERE study = $study AND growth IS NOT NULL", study)
    answer.table = "marts.response_length"
    answer.columns = {
        **{"run": "run", "title": "benchmark", "step": "step", "mean_tokens": "tokens", "growth": "growth"},
        **{
            "growth_real": "settled",
            "growth_loops": "loops",
            "growth_cut": "cut",
            "growth_no_end_token": "no end token",
        },
        **{"truncation_rate": "truncated", "trace": "trace"},
    }
    if not rows:
        answer.missing.append("No completions are stored for this study, so the growth cannot be split.")
        return answer
    peaks = [max(of, key=lambda row: row["mean_tokens"]) for of in _by_line(rows).values()]
    answer.rows = peaks
    most = max(peaks, key=lambda row: row["growth"])
    share = 1 - most["growth_real"] / most["growth"] if most["growth"] else 0.0
    answer.sentences.append(
        f"The longest answers are {most['mean_tokens']:.0f} tokens on average, {most['run']} on {most['title']} at "
        f"step {most['step']}, {most['growth']:+.0f} over its base; {percent(share)} of "
        "that growth is loops, cut answers and missing end tokens, the rest is answers that settled."
    )
    cut = max(rows, key=lambda row: row["truncation_rate"])
    answer.sentences.append(
        f"The token limit cuts most answers of {cut['run']} on {cut['title']} at step {cut['step']}: "
        f"{percent(cut['truncation_rate'])}."
    )
    return answer


def _by_line(rows: Rows) -> dict[tuple[str, str], Rows]:
    lines: dict[tuple[str, str], Rows] = {}
    for row in rows:
        lines.setdefault((row["run"], row["benchmark"]), []).append(row)
    return lines
