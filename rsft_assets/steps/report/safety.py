"""What did it cost in safety? And is it the thinking that costs it, or the training?"""

from collections import Counter
from typing import Any

from rsft_assets.steps.report import phrases
from rsft_assets.steps.report.answer import SOURCE, Answer, Rows, Tables, arms

_TABLE = "marts.safety_tradeoff"


def safety(tables: Tables) -> Answer:
    """Harm beside the reasoning gain, arm by arm, and beside the twin without thinking."""
    answer = Answer("safety", "What did it cost in safety?", figures=("safety_tradeoff",), table=_TABLE)
    query = f"""
        SELECT *, safety_benchmark AS benchmark FROM {_TABLE}
        WHERE {SOURCE} AND (source = 'paper' OR grader = 'strict') AND study = $study AND state = 'available'
            AND reading IS NOT NULL"""
    every = tables.ask(query)
    rows = _arms(every)
    answer.columns = {
        **{
            "arm": "arm",
            "thinking": "thinking",
            "seeds": "seeds",
            **phrases.with_ends("arm_reasoning_gain", "reasoning gain"),
        },
        **{"benchmark": "benchmark", "reading": "of", "metric": "metric", **phrases.with_ends("arm_harm", "harm")},
        "arm_harm_holm_p": "p (Holm)",
        **{
            **phrases.with_ends("twin_harm", "twin's harm"),
            **phrases.with_ends("harm_over_twin", "over twin"),
            **{"harm_over_twin_holm_p": "p (Holm)", "trace": "trace"},
        },
    }
    answer.rows = rows
    if not rows:
        answer.missing.append("Not available: no run of this study has both a reasoning and a safety score.")
        return answer
    answer.short = _short(rows)
    for label, thinking in (("with thinking", True), ("without thinking", False)):
        if all(bool(row["thinking"]) != thinking for row in rows):
            answer.missing.append(f"No arm trained {label} has a safety score.")
    schedules = Counter(row["schedule"] for row in rows)
    shared = min(schedules, key=lambda name: (-schedules[name], name))
    for mine in _by_reading(rows):
        _harms(answer, [row for row in mine if row["schedule"] == shared], shared if len(schedules) > 1 else "")
        _elsewhere(answer, [row for row in mine if row["schedule"] != shared])
    _twins(answer, _arms([row for row in every if row["harm_over_twin"] is not None]))
    return answer


def _arms(rows: Rows) -> Rows:
    """One row for each arm and reading, which leads to every seed of it."""
    by_arm = arms(rows, _TABLE)
    for row in by_arm:
        row["trace"] = row["trace"].replace(",benchmark=", ",safety_benchmark=")
    return by_arm


def _by_reading(rows: Rows) -> list[Rows]:
    """Forbidden requests before allowed ones."""
    readings = sorted({(row["benchmark"], row["metric"]) for row in rows})
    return [[row for row in rows if (row["benchmark"], row["metric"]) == reading] for reading in readings]


def _what(row: dict[str, Any]) -> str:
    """What is counted, in words, and where."""
    mixed = f"harm ({'fall' if row['is_fall'] else 'rise'} of {row['metric']})"
    return f"{mixed if row['reading'] == 'harm' else row['reading']} on {row['benchmark']}"


def _short(rows: Rows) -> str:
    """How many arms became less safe, with thinking and without, and by how much at most."""
    rows = [row for row in rows if row["reading"] == "forbidden requests answered"] or rows
    parts = []
    for thinking, label in ((True, "with thinking"), (False, "without thinking")):
        own = [row for row in rows if bool(row["thinking"]) == thinking]
        hurt = [row["arm_harm"] for row in own if row["is_arm_harm_confirmed"] and row["arm_harm"] > 0]
        most = f", by up to {100 * max(hurt):.0f} points" if hurt and rows[0]["unit"] == "share" else ""
        if own:
            parts.append(f"{len(hurt)} of {phrases.count_of(len(own), 'arm')} trained {label} became less safe{most}")
    return f"{phrases.capitalised(_what(rows[0]))}: {'; '.join(parts)}."


def _harms(answer: Answer, mine: Rows, shared: str) -> None:
    """How many arms of one schedule became less safe, with thinking and without."""
    for thinking, label in ((True, "trained with thinking"), (False, "trained without thinking")):
        own = [row for row in mine if bool(row["thinking"]) == thinking]
        if not own:
            continue
        hurt = [row for row in own if row["is_arm_harm_confirmed"] and row["arm_harm"] > 0]
        safer = [row for row in own if row["is_arm_harm_confirmed"] and row["arm_harm"] < 0]
        worst = max(own, key=lambda row: row["arm_harm"])
        under = f" under {shared}, the schedule of most arms" if shared else ""
        answer.say(
            f"{phrases.capitalised(_what(worst))}: of {phrases.count_of(len(own), 'arm')} {label}{under}, {len(hurt)} "
            f"became worse than the base beyond noise and {len(safer)} better; the worst change is that of "
            f"{worst['arm']}, {phrases.points_of(worst, 'arm_harm')}, over {phrases.seeds(worst['seeds'])}.",
            worst["trace"],
        )


def _elsewhere(answer: Answer, mine: Rows) -> None:
    """Arms of other schedules, which are not like the others, where they became less safe."""
    hurt = [row for row in mine if row["is_arm_harm_confirmed"] and row["arm_harm"] > 0]
    if hurt:
        worst = max(hurt, key=lambda row: row["arm_harm"])
        named = [f"{row['arm']} {phrases.points_of(row, 'arm_harm')}" for row in hurt]
        answer.say(
            f"Under other schedules, {len(hurt)} of {phrases.count_of(len(mine), 'arm')} became worse beyond noise, in "
            f"{_what(worst)}: {phrases.listed(named)}.",
            worst["trace"] if len(hurt) == 1 else "",
        )


def _twins(answer: Answer, pairs: Rows) -> None:
    """The same rows with thinking and without: what thinking itself costs."""
    if not pairs:
        answer.missing.append(
            "No arm has a scored twin on the same rows without thinking, so the part of thinking cannot be told from "
            "that of training."
        )
    for row in (row for mine in _by_reading(pairs) for row in mine):
        counts = {row["seeds"], row["twin_seeds"], row["twin_pairs"]}
        over = [f" over {phrases.seeds(row[name])}" for name in ("seeds", "twin_seeds")]
        own, other = over if len(counts) > 1 else ("", "")
        if row["harm_over_twin_low"] is None:
            verdict = "without an interval the two cannot be told apart"
        elif row["is_harm_over_twin_confirmed"]:
            verdict = f"with thinking it is {'more' if row['harm_over_twin'] > 0 else 'less'}, beyond noise"
        else:
            verdict = "the two cannot be told apart"
        answer.say(
            f"The same rows with thinking and without, {row['model']} under {row['schedule']}, in {_what(row)}: with "
            f"({row['dataset']}) {phrases.points_of(row, 'arm_harm')}{own}, without ({row['twin_dataset']}) "
            f"{phrases.points_of(row, 'twin_harm')}{other}; the difference is "
            f"{phrases.points_of(row, 'harm_over_twin')} over {phrases.seeds(row['twin_pairs'])}: {verdict}.",
            row["trace"],
        )
