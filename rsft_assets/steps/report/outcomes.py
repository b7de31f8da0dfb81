"""Did it generalise, and where? Which data?"""

from collections import Counter
from functools import partial
from typing import Any

from rsft_assets.steps.report import phrases
from rsft_assets.steps.report.answer import (
    GROUPS,
    LEVEL,
    MOST,
    OURS,
    SKILLS,
    Answer,
    Rows,
    Tables,
    arm,
    arms,
    better_and_worse,
    one_seed,
)

_ARM = {"arm": "arm", "title": "benchmark", "seeds": "seeds"}
_TABLE = "marts.data_comparison"


def generalised(tables: Tables) -> Answer:
    """Gains over the base by group of benchmarks."""
    answer = Answer(
        "generalised", "Did it generalise, and where?", figures=("data_comparison", "pass_at_k"), table=_TABLE
    )
    rows = arms(tables.ask(f"SELECT * FROM {_TABLE} WHERE {OURS} AND gain IS NOT NULL"), _TABLE)
    answer.columns = {
        **_ARM,
        **{"base_value": "base", "seed_mean": "score", **phrases.with_ends("arm_gain", "gain")},
        **{"arm_gain_holm_p": "p (Holm)", "items": "items", "trace": "trace"},
    }
    answer.rows = rows
    if not rows:
        answer.missing.append("No run has been scored at its end beside its base yet.")
    answer.short = _short(rows)
    for group, where in GROUPS.items():
        mine = [row for row in rows if row["run_group"] == group]
        if not mine:
            answer.missing.append(f"Nothing is scored {where}.")
            continue
        up = [row for row in mine if row["is_arm_gain_confirmed"] and row["arm_gain"] > 0]
        down = [row for row in mine if row["is_arm_gain_confirmed"] and row["arm_gain"] < 0]
        answer.say(
            f"{phrases.capitalised(where)}: of {phrases.count_of(len(mine), 'arm-benchmark pair')}, {len(up)} gain and "
            f"{len(down)} lose beyond noise; {len(mine) - len(up) - len(down)} cannot be told from no change."
        )
        for surest, kind in (
            (max(up, key=lambda row: row["arm_gain_low"], default=None), "gain"),
            (min(down, key=lambda row: row["arm_gain_high"], default=None), "loss"),
        ):
            if surest:
                answer.say(
                    f"The surest {kind} {where} is {surest['arm']} on {surest['title']}, "
                    f"{phrases.points_of(surest, 'arm_gain')}, over {phrases.seeds(surest['seeds'])}.",
                    surest["trace"],
                )
    _other_domains(answer, rows)
    _on_the_way(tables, answer)
    one_seed(answer, rows)
    return answer


def _short(rows: Rows) -> str:
    """What the usual arm gained and lost, as scores before and after, and how many of all arms did."""
    if not rows:
        return ""
    usual = _usual(rows)
    groups = {where: [row for row in rows if row["run_group"] == group] for group, where in GROUPS.items()}
    before_and_after = [
        f"{where} {phrases.listed([_course(row) for row in mine if row['arm'] == usual])}"
        for where, mine in groups.items()
        if any(row["arm"] == usual for row in mine)
    ]
    counts = [
        f"{where} {_count(mine, 1)} of {len(mine)} gain and {_count(mine, -1)} lose"
        for where, mine in groups.items()
        if mine
    ]
    of_one = f"{usual}: {'; '.join(before_and_after)}." if before_and_after else ""
    return "\n".join(filter(None, (of_one, f"All arms: {'; '.join(counts)}." if counts else "")))


def _usual(rows: Rows) -> str:
    """The arm that shares its schedule, training set and model with the most others; with thinking where any has it."""
    rows = [row for row in rows if row["thinking"]] or rows
    shared = {name: Counter(row[name] for row in rows) for name in ("arm", "schedule", "dataset", "model")}
    return str(max(rows, key=lambda row: [count[row[name]] for name, count in shared.items()])["arm"])


def _count(rows: Rows, sign: int) -> int | str:
    return sum(row["is_arm_gain_confirmed"] and sign * row["arm_gain"] > 0 for row in rows) or "none"


def _course(row: dict[str, Any]) -> str:
    if not row["is_arm_gain_confirmed"]:
        return f"{row['title']} no clear change"
    shown = partial(phrases.percent, digits=0) if row["unit"] == "share" else "{:.2f}".format
    return f"{row['title']} from {shown(row['seed_mean'] - row['arm_gain'])} to {shown(row['seed_mean'])}"


def _on_the_way(tables: Tables, answer: Answer) -> None:
    """Gains out of domain that were there on the way, and from which the arm falls, both beyond noise."""
    key = "source, run, benchmark, grader, metric, protocol"
    # Bonferroni's correction, for the choice of a trained step and for all arms and benchmarks.
    steps = tables.ask(f"""
        SELECT t.*, arm_p * (arm_steps - 1) * arms_asked AS gain_p
        FROM marts.score_trajectories t
        JOIN (
            SELECT {key}, arm_erosion_step, arm_end_step, arm_steps, arms_asked
            FROM marts.dip_and_recovery WHERE is_arm_erosion_confirmed
        ) USING ({key})
        LEFT JOIN (SELECT point_id, grader, metric, arm_p FROM staging.arm_differences WHERE other_arm = 'base')
            USING (point_id, grader, metric)
        WHERE {OURS} AND benchmark_group = 'ood-reasoning' AND step IN (arm_erosion_step, arm_end_step)
        ORDER BY step""")
    lost_again = []
    for name in dict.fromkeys((arm(row), row["benchmark"]) for row in steps):
        mine = [row for row in steps if (arm(row), row["benchmark"]) == name]
        best, last = mine[0], mine[-1]
        if (best["arm_gain_low"] or 0) > 0 and best["gain_p"] <= LEVEL:
            lost_again.append((best, last))
    lost_again.sort(key=lambda pair: pair[1]["arm_gain"] - pair[0]["arm_gain"])
    for best, last in lost_again[:MOST]:
        answer.say(
            f"{arm(best)} on {best['title']} stood {phrases.points_of(best, 'arm_gain')} over its base at step "
            f"{best['step']} and ends at {phrases.points_of(last, 'arm_gain')}, over {phrases.seeds(best['seeds'])}; "
            "the gain and the fall are beyond noise, although the step was chosen after looking.",
            last["trace"],
        )
    if len(lost_again) > MOST:
        answer.say(f"{len(lost_again) - MOST} more gained out of domain on the way and lost it again.")


def _other_domains(answer: Answer, rows: Rows) -> None:
    """Say where what counts as in domain is not what the benchmark is declared as."""
    moved = [row for row in rows if row["run_group"] != row["benchmark_group"]]
    into = list(dict.fromkeys(row["title"] for row in moved if row["run_group"] == "in-domain"))
    out = list(dict.fromkeys(row["title"] for row in moved if row["run_group"] != "in-domain"))
    if moved:
        datasets = phrases.listed(list(dict.fromkeys(row["dataset"] for row in moved)))
        answer.say(
            f"In domain is the kind of question that an arm was trained on: for {datasets} that is "
            f"{phrases.listed(into) or 'no benchmark'}, and {phrases.listed(out) or 'none'} is out of domain."
        )


def which_data(tables: Tables) -> Answer:
    """Sets against the reference set of the same model and schedule."""
    answer = Answer("which_data", "Which data?", figures=("data_comparison", "data_yield"), table=_TABLE)
    query = f"SELECT * FROM {_TABLE} WHERE {OURS} AND {SKILLS} AND difference IS NOT NULL AND NOT is_reference"
    rows = arms(tables.ask(query), _TABLE)
    answer.columns = {
        **_ARM,
        **{"seed_mean": "score", "reference": "reference", **phrases.with_ends("arm_difference", "difference")},
        **{"arm_difference_holm_p": "p (Holm)", "trace": "trace"},
    }
    answer.rows = rows
    if not rows:
        answer.missing.append("No two training sets are scored on one model under one schedule.")
    short: dict[str, list[str]] = {}
    for dataset, reference in sorted({(row["dataset"], row["reference"]) for row in rows}):
        mine = [row for row in rows if (row["dataset"], row["reference"]) == (dataset, reference)]
        counts = better_and_worse(mine, "is_arm_difference_confirmed", "arm_difference")
        short.setdefault(reference, []).append(f"{dataset} is {counts}")
        for group, where in GROUPS.items():
            _against(
                [row for row in mine if row["run_group"] == group], f"{dataset} against {reference} {where}", answer
            )
    answer.short = "\n".join(f"Compared with {reference}: {'; '.join(parts)}." for reference, parts in short.items())
    one_seed(answer, rows)
    return answer


def _against(rows: Rows, who: str, answer: Answer) -> None:
    """Where one set is better or worse than another on a group of benchmarks, clearest first, with intervals."""
    if not rows:
        return
    schedules = len({row["schedule"] for row in rows}) > 1
    parts, confirmed = [], 0
    for kind, sign in (("better", 1), ("worse", -1)):
        mine = [row for row in rows if row["is_arm_difference_confirmed"] and sign * row["arm_difference"] > 0]
        mine.sort(key=lambda row: -abs(row["arm_difference"]))
        confirmed += len(mine)
        if mine:
            parts.append(f"{kind} on {phrases.listed([_apart(row, schedules) for row in mine], MOST)}")
    rest = len(rows) - confirmed
    if rest:
        parts.append(f"not to be told apart on {rest} of {phrases.count_of(len(rows), 'arm-benchmark pair')}")
    answer.say(f"{who}, over {phrases.seeds_of(rows)}: {'; '.join(parts)}.")


def _apart(row: dict[str, Any], schedule: bool) -> str:
    who = f"{row['model']}, {row['schedule']}" if schedule else row["model"]
    return f"{row['title']} ({who}) {phrases.points_of(row, 'arm_difference')}"
