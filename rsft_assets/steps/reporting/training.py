"""Has it trained long enough? Does it pay to repeat data?"""

from collections import Counter
from typing import TYPE_CHECKING

from rsft_assets.steps.reporting.answer import (
    GROUPS,
    OURS,
    SKILLS,
    SOURCE,
    Answer,
    Rows,
    arm,
    arms,
    ask,
    count_of,
    listed,
    points,
    seeds,
)

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def long_enough(db: "DuckDBPyConnection", study: str) -> Answer:
    """Dips, recoveries and regimes."""
    answer = Answer("long_enough", "Has it trained long enough?", figures=("dip_and_recovery", "optimization_regimes"))
    where = f"{OURS} AND {SKILLS}"
    rows = ask(db, f"SELECT * FROM marts.dip_and_recovery WHERE {where} ORDER BY fall_high NULLS LAST", study)
    judged = [row for row in rows if row["steps"] >= 3]
    dips = [row for row in judged if row["is_dip_beyond_noise"]]
    answer.table = "marts.dip_and_recovery"
    answer.columns = {
        **{"run": "run", "title": "benchmark", "shape": "shape", "peak_step": "from step", "dip_step": "to step"},
        **{"depth": "depth", "fall_low": "change, low", "fall_high": "high", "recovery_step": "recovered at"},
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
    answer.say(_dips(judged, dips))
    _by_group(judged, answer)
    if dips:
        answer.say(_deepest(dips[0]), dips[0]["trace"])
    faint = [row for row in judged if row["shape"] == "falls, within noise"]
    if faint:
        least = min(faint, key=lambda row: row["items_to_settle"] or 10**9)
        words = f"{count_of(len(faint), 'fall')} cannot be told from noise"
        if least["items_to_settle"]:
            words += (
                f"; the nearest to being settled is {least['run']} on {least['title']}, which would take about "
                f"{least['items_to_settle']:,} items at the spread seen here"
            )
        answer.say(f"{words}.", least["trace"])
    _regimes(db, study, answer)
    return answer


def _dips(judged: Rows, dips: Rows) -> str:
    back = sum(row["shape"] == "dips and recovers" for row in dips)
    return (
        f"{len(dips)} of {len(judged)} trajectories dip beyond noise, after correcting for having looked for the "
        f"deepest fall; {back} of them recover{'s' if back == 1 else ''} beyond noise. Safety is not counted here; it "
        "has a question of its own."
    )


def _by_group(judged: Rows, answer: Answer) -> None:
    """Dips by kind of benchmark, and whether they hold in every training seed of an arm."""
    for group, words in GROUPS.items():
        mine = [row for row in judged if row["run_group"] == group]
        dips = [row for row in mine if row["is_dip_beyond_noise"]]
        if not mine:
            continue
        said = f"{words[0].upper()}{words[1:]}: {len(dips)} of {len(mine)} dip"
        several = {(arm(row), row["benchmark"]): row for row in dips if row["seeds"] > 1}
        if several:
            held = sum(row["holds_in_every_seed"] for row in several.values())
            back = sum(row["seeds_with_recovery"] == row["seeds"] for row in several.values())
            said += (
                f"; of {count_of(len(several), 'arm-benchmark pair')} of several training seeds with a dip, {held} "
                f"{'shows' if held == 1 else 'show'} it in every seed, and {back} the recovery too"
            )
        answer.say(f"{said}.")


def _deepest(row: dict) -> str:  # type: ignore[type-arg]
    after = f"is made good by step {row['recovery_step']}" if row["recovery_step"] else "is not made good by the end"
    fall = points(-row["depth"], row["fall_low"], row["fall_high"], unit=row["unit"])
    return (
        f"The surest is {row['run']} on {row['title']}: from step {row['peak_step']} to step {row['dip_step']} it "
        f"changes by {fall}, and {after}."
    )


def _regimes(db: "DuckDBPyConnection", study: str, answer: Answer) -> None:
    # What is not available has no grader.
    graded = "(source = 'paper' OR coalesce(grader, 'strict') = 'strict')"
    query = f"SELECT * FROM marts.optimization_regimes WHERE {SOURCE} AND {graded} AND is_headline AND study = $study"
    every = ask(db, query, study)
    known = [row for row in every if row["regime"] != "not available"]
    regimes = Counter(row["regime"].split(":")[0] for row in known if row["benchmark_group"] != "safety")
    judged = sum(regimes.values()) - regimes["undecided"]
    if judged:
        told = [f"{regimes[name]} {name}" for name in ("under-fitted", "optimal", "over-fitted")]
        answer.say(
            f"Of {judged} run-benchmark pairs that can be judged at their end, {', '.join(told)}; optimal says that "
            "the end is not below the best step, not that anything was gained."
        )
    if regimes["undecided"]:
        words = "run-benchmark pairs have too few steps or no interval to be judged."
        answer.missing.append(f"{regimes['undecided']} {words}")
    for column, what in (("run", "run"), ("title", "benchmark")):
        names = list(dict.fromkeys(row[column] for row in every))
        there = {row[column] for row in known}
        gone = [name for name in names if name not in there]
        if gone and known:
            answer.missing.append(
                f"Not available for {len(gone)} of {count_of(len(names), what)}, which have no score: {listed(gone)}."
            )


def repetition(db: "DuckDBPyConnection", study: str) -> Answer:
    """Schedules at equal steps."""
    answer = Answer("repetition", "Does it pay to repeat data?", figures=("schedule_comparison",))
    table = "marts.schedule_comparison"
    rows = arms(ask(db, f"SELECT * FROM {table} WHERE {OURS} AND {SKILLS}", study), table)
    others = [row for row in rows if not row["is_reference"] and row["difference"] is not None]
    answer.table = table
    answer.columns = {
        **{"arm": "arm", "total_steps": "steps", "rows": "rows", "passes": "passes", "title": "benchmark"},
        **{"seeds": "seeds", "seed_mean": "score", "arm_difference": "to reference", "arm_difference_low": "low"},
        **{"arm_difference_high": "high", "arm_method": "method", "fresh_difference": "to rows seen less often"},
        **{"fresh_difference_low": "low", "fresh_difference_high": "high", "trace": "trace"},
    }
    answer.rows = rows
    if not others:
        answer.missing.append("No two settings of one model on the same data at equal steps are scored.")
        return answer
    clean = [row for row in rows if row["fresh_difference"] is not None]
    for name in dict.fromkeys(row["arm"] for row in clean):
        _repeated([row for row in clean if row["arm"] == name], answer)
    if not clean:
        answer.missing.append(
            "No arm repeats few rows where another sees more rows less often with the same batch and steps; what is "
            "compared differs in more than repetition."
        )
    told = {(row["fresh"], row["arm"]) for row in clean}
    for name in dict.fromkeys(row["arm"] for row in others if (row["arm"], row["reference"]) not in told):
        _setting([row for row in others if row["arm"] == name], answer)
    return answer


def _repeated(mine: Rows, answer: Answer) -> None:
    """Few rows repeated against more rows seen less often, all else equal: the question itself, with each interval."""
    first = mine[0]
    worse = [row["title"] for row in mine if row["is_fresh_beyond_noise"] and row["fresh_difference"] < 0]
    better = [row["title"] for row in mine if row["is_fresh_beyond_noise"] and row["fresh_difference"] > 0]
    without = [row["title"] for row in mine if row["fresh_difference_low"] is None]
    answer.say(
        f"Repetition alone, {first['arm']} ({_passes(first['rows'], first['passes'])}) against {first['fresh']} "
        f"({_passes(first['fresh_rows'], first['fresh_passes'])}), equal in steps, batch and rows read, over "
        f"{seeds({'seeds': first['fresh_seeds']})}: beyond noise better on {listed(better) or 'none'}, worse on "
        f"{listed(worse) or 'none'}, of {count_of(len(mine), 'benchmark')}"
        + (f"; no interval is known on {listed(without)}." if without else ".")
    )
    for row in sorted((row for row in mine if row["title"] not in without), key=lambda row: row["position"]):
        ends = row["fresh_difference_low"], row["fresh_difference_high"]
        apart = points(row["fresh_difference"], *ends, unit=row["unit"])
        answer.say(f"On {row['title']}, {row['arm']} against {row['fresh']}: {apart}.", row["trace"])


def _passes(rows: int, passes: float) -> str:
    return f"{rows:,} rows, {count_of(round(passes), 'pass', 'passes')}"


def _setting(mine: Rows, answer: Answer) -> None:
    """One setting against the reference, and where they are furthest apart."""
    first = mine[0]
    worse = [row["title"] for row in mine if row["is_arm_beyond_noise"] and row["arm_difference"] < 0]
    better = [row["title"] for row in mine if row["is_arm_beyond_noise"] and row["arm_difference"] > 0]
    answer.say(
        f"{first['arm']} ({_passes(first['rows'], first['passes'])}) against "
        f"{first['reference']} at equal steps, over {seeds(first)}: beyond noise worse on {listed(worse) or 'none'}, "
        f"better on {listed(better) or 'none'}, of {count_of(len(mine), 'benchmark')}."
    )
    known = [row for row in mine if row["arm_difference_low"] is not None]
    if known:
        most = max(known, key=lambda row: abs(row["arm_difference"]))
        apart = points(
            most["arm_difference"], most["arm_difference_low"], most["arm_difference_high"], unit=most["unit"]
        )
        answer.say(f"Furthest apart on {most['title']}: {apart}.", most["trace"])
