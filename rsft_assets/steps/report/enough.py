"""Has it trained long enough?

In: `marts.dip_and_recovery`, judged arm by arm, and `marts.optimization_regimes`, run by run. Out: an answer.
"""

from typing import Any

from rsft_assets.steps.report import phrases
from rsft_assets.steps.report.answer import GROUPS, MOST, OURS, SKILLS, SOURCE, Answer, Rows, Tables, arms, one_seed

_TABLE = "marts.dip_and_recovery"
_MOST_ARMS = 5
_REGIMES = {
    "optimal": "above the base and not below the best step",
    "over-fitted": "below a step that was above the base",
    "under-fitted": "below the base, with no step above it",
}


def long_enough(tables: Tables) -> Answer:
    """Dips and recoveries, ends below an earlier step, and what could not be judged."""
    figures = ("overview", "dip_and_recovery", "optimization_regimes")
    answer = Answer("long_enough", "Has it trained long enough?", figures=figures)
    runs = tables.ask(f"SELECT * FROM {_TABLE} WHERE {OURS} AND {SKILLS} ORDER BY position")
    every = arms([row for row in runs if row["seeds"]], _TABLE)
    judged = [row for row in every if row["arm_steps"] >= 3 and not row["is_arm_undecided"]]
    answer.table = _TABLE
    answer.columns = {
        **{"arm": "arm", "title": "benchmark", "seeds": "seeds", "arm_peak_step": "peak", "arm_valley_step": "valley"},
        **{"arm_top_step": "top", **phrases.with_ends("arm_fall", "fall"), **phrases.with_ends("arm_rise", "rise")},
        **{"arm_valley_holm_p": "p (Holm)", "arm_valley_seeds": "seeds with both"},
        **{"arm_erosion_step": "best before the end"},
        **phrases.with_ends("arm_erosion", "from there to the end"),
        **{"arm_erosion_holm_p": "p (Holm)", "arm_erosion_seeds": "seeds with it", "trace": "trace"},
    }
    answer.rows = [row for row in every if row["arm_valley_step"] is not None or row["arm_erosion_step"] is not None]
    _not_judged(every, answer)
    if judged:
        _counts(judged, answer)
        _dips(judged, answer)
        _not_confirmed(judged, answer)
        _eroded(judged, answer)
        _nearest_to_settled(runs, answer)
        one_seed(answer, judged)
    _regimes(tables, answer)
    return answer


def _not_judged(every: Rows, answer: Answer) -> None:
    short = sum(row["arm_steps"] < 3 for row in every)
    without = sum(row["is_arm_undecided"] for row in every if row["arm_steps"] >= 3)
    if short == len(every):
        answer.missing.append(
            "No arm has three steps yet that are scored in all of its seeds, so no trajectory can be judged."
        )
    elif short:
        answer.missing.append(
            f"{phrases.count_of(short, 'arm-benchmark pair')} cannot be judged, with fewer than three steps that "
            "are scored in all seeds."
        )
    if without:
        answer.missing.append(
            f"{phrases.count_of(without, 'arm-benchmark pair')} cannot be judged for want of an interval."
        )


def _counts(judged: Rows, answer: Answer) -> None:
    """How many dip and recover, how many end below where they were: over all, and by kind of benchmark."""
    dipped, eroded = (sum(row[f"is_arm_{what}_beyond_noise"] for row in judged) for what in ("valley", "erosion"))
    answer.say(
        f"Of {_counted(judged)}. Arms are judged on the mean over their training seeds, at the steps that all of these "
        "have. Beyond noise holds after two corrections: max-T's for having picked the steps, in the intervals, and "
        "Holm's for the number of arm-benchmark pairs; by the intervals alone the two numbers would be "
        f"{dipped} and {eroded}. Safety is not counted here; it has a question of its own."
    )
    dips = [row for row in judged if row["is_arm_valley_confirmed"]]
    lost = sum(row["is_arm_erosion_confirmed"] for row in judged)
    answer.short = (
        f"Of {phrases.count_of(len(judged), 'score curve')}, {_that(len(dips), 'dips', 'dip')} and then "
        f"{'recovers' if len(dips) == 1 else 'recover'}; {_that(lost, 'ends', 'end')} below an earlier step."
    )
    if dips:
        back = sum(row["arm_regains"] for row in dips)
        answer.say(
            "To rise again says that the score gains beyond noise after the valley, not that it makes good the fall: "
            f"at the top, {back} of {len(dips)} {'is' if back == 1 else 'are'} at least as good as at the peak, on the "
            "mean."
        )
    for group, title in GROUPS.items():
        mine = [row for row in judged if row["run_group"] == group]
        if mine:
            answer.say(f"{phrases.capitalised(title)}: of {_counted(mine)}.")


def _counted(rows: Rows) -> str:
    dips = [row for row in rows if row["is_arm_valley_confirmed"]]
    several = [row for row in dips if row["seeds"] > 1]
    lost = [row for row in rows if row["is_arm_erosion_confirmed"]]
    both = sum(row["is_arm_erosion_confirmed"] for row in dips)
    sentence = f"{phrases.count_of(len(rows), 'arm-benchmark pair')}, "
    sentence += f"{_that(len(dips), 'dips and rises', 'dip and rise')} again beyond noise"
    if several:
        held = sum(row["arm_valley_seeds"] == row["seeds"] for row in several)
        sentence += f" (in every seed in {held} of {len(several)} with several training seeds)"
    sentence += f", {_that(len(lost), 'ends', 'end')} beyond noise below an earlier step"
    sentence += f" ({_that(both, 'does', 'do')} both)" if both else ""
    return f"{sentence} and {_that(len(rows) - len(dips) - len(lost) + both, 'does', 'do')} neither"


def _that(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _dips(judged: Rows, answer: Answer) -> None:
    """A sentence for each dip with a recovery: in domain first, the clearest first."""
    order = list(GROUPS)
    dips = sorted(
        (row for row in judged if row["is_arm_valley_confirmed"]),
        key=lambda row: (order.index(row["run_group"]) if row["run_group"] in order else len(order), -_clearness(row)),
    )
    for row in dips[:MOST]:
        held = f"in {row['arm_valley_seeds']} of {row['seeds']} seeds" if row["seeds"] > 1 else "with one training seed"
        answer.say(f"{_course(row)}, {held}.", row["trace"])
    if len(dips) > MOST:
        left = len(dips) - MOST
        answer.say(f"{left} more {'dips and rises' if left == 1 else 'dip and rise'} again beyond noise.")


def _course(row: dict[str, Any]) -> str:
    return (
        f"{row['arm']} on {row['title']}: from step {row['arm_peak_step']} to step {row['arm_valley_step']} "
        f"{phrases.points_of(row, 'arm_fall')}, from there to step {row['arm_top_step']} "
        f"{phrases.points_of(row, 'arm_rise')}"
    )


def _clearness(row: dict[str, Any]) -> float:
    """How far from 0 the less clear of the two changes is, in widths of its interval."""
    fall = -row["arm_fall_high"] / (row["arm_fall_high"] - row["arm_fall_low"])
    rise = row["arm_rise_low"] / (row["arm_rise_high"] - row["arm_rise_low"])
    return float(min(fall, rise))


def _not_confirmed(judged: Rows, answer: Answer) -> None:
    """Dips that are there in the numbers and cannot be told from noise, the clearest first."""
    faint = [row for row in judged if row["arm_valley_step"] is not None and not row["is_arm_valley_confirmed"]]
    faint.sort(key=lambda row: (row["arm_valley_p"], row["arm_valley_holm_p"]))
    # The paper's statements stand on its dips, so each of those is told.
    published = [row for row in faint if row["source"] == "paper"]
    listed = published or [row for row in faint if row["is_arm_valley_beyond_noise"]][:MOST]
    for row in listed:
        why = (
            f"beyond noise by itself, but not as one of {row['arms_asked']} (p = {row['arm_valley_holm_p']:.2f})"
            if row["is_arm_valley_beyond_noise"]
            else "within noise"
        )
        answer.say(f"Not confirmed: {_course(row)}; {why}.", row["trace"])
    rest = len(faint) - len(listed)
    if rest:
        answer.say(f"{_that(rest, 'more dips and rises', 'more dip and rise')} on the mean, but not beyond noise.")


def _eroded(judged: Rows, answer: Answer) -> None:
    """Arms that end beyond noise below a trained step; where only the base was better, they have just not gained."""
    eroded = [row for row in judged if row["is_arm_erosion_confirmed"] and row["arm_erosion_step"] > 0]
    by_arm: dict[str, Rows] = {}
    for row in eroded:
        by_arm.setdefault(row["arm"], []).append(row)
    if not by_arm:
        answer.say("No arm ends beyond noise below a best step that was a trained one.")
        return
    sentences = []
    for name, mine in sorted(by_arm.items(), key=lambda pair: -len(pair[1])):
        there = sum(row["arm"] == name for row in judged)
        several = [row for row in mine if row["seeds"] > 1]
        held = sum(row["arm_erosion_seeds"] == row["seeds"] for row in several)
        seeds = f"in every seed on {held}" if several else "one training seed"
        sentences.append(f"{name} on {len(mine)} of {phrases.count_of(there, 'benchmark')} ({seeds})")
    answer.say(
        f"At the end beyond noise below a best step that was a trained one: {phrases.listed(sentences, _MOST_ARMS)}."
    )


def _nearest_to_settled(runs: Rows, answer: Answer) -> None:
    """Of the falls within noise, what it would take to tell the nearest."""
    faint = [row for row in runs if row["shape"] == "falls, within noise"]
    if not faint:
        return
    least = min(faint, key=lambda row: row["items_to_settle"] or 10**9)
    sentence = (
        f"{phrases.count_of(len(faint), 'fall of a single run', 'falls of single runs')} cannot be told from noise"
    )
    if least["items_to_settle"]:
        sentence += (
            f"; the nearest to being settled is {least['run']} on {least['title']}, which would take about "
            f"{least['items_to_settle']:,} items at the spread seen here"
        )
    answer.say(f"{sentence}.", least["trace"])


def _regimes(tables: Tables, answer: Answer) -> None:
    """Where runs stand at their end, by levels; and what has no score."""
    # What is not available has no grader.
    graded = "(source = 'paper' OR coalesce(grader, 'strict') = 'strict')"
    query = f"SELECT * FROM marts.optimization_regimes WHERE {SOURCE} AND {graded} AND is_headline AND study = $study"
    every = tables.ask(query)
    known = [row for row in every if row["regime"] != "not available"]
    skills = [row for row in known if row["benchmark_group"] != "safety" and row["trained_steps"] >= 3]
    if skills:
        counts = [(regime, sum(row["regime"] == regime for row in skills)) for regime in _REGIMES]
        counted = [f"{number} {regime} ({_REGIMES[regime]})" for regime, number in counts]
        rest = len(skills) - sum(number for _, number in counts)
        answer.say(
            f"At the end, of {phrases.count_of(len(skills), 'run-benchmark pair')} with three trained steps or more, "
            "each run by itself, corrected for its steps and by Holm's method for all pairs: "
            f"{', '.join(counted)}, {rest} undecided."
        )
    for column, what in (("run", "run"), ("title", "benchmark")):
        names = list(dict.fromkeys(row[column] for row in every))
        there = {row[column] for row in known}
        gone = [name for name in names if name not in there]
        if gone and known:
            answer.missing.append(
                f"Not available for {len(gone)} of {phrases.count_of(len(names), what)}, which have no score: "
                f"{phrases.listed(gone)}."
            )
