"""Does it pay to repeat data?"""

from rsft_assets.steps.report import phrases
from rsft_assets.steps.report.answer import OURS, SKILLS, Answer, Rows, Tables, arms, better_and_worse

_TABLE = "marts.schedule_comparison"


def repetition(tables: Tables) -> Answer:
    """Schedules at equal steps, and shorter or longer ones beside the usual one."""
    answer = Answer(
        "repetition",
        "Does it pay to repeat data, or to train longer?",
        figures=("schedule_comparison", "short_training"),
    )
    runs = tables.ask(f"SELECT * FROM {_TABLE} WHERE {OURS} AND {SKILLS}")
    answer.table = _TABLE
    answer.columns = {
        **{"arm": "arm", "total_steps": "steps", "rows": "rows", "passes": "passes", "batch_size": "batch"},
        **{"title": "benchmark", "seeds": "seeds", "seed_mean": "score"},
        **{**phrases.with_ends("arm_difference", "to reference"), "arm_difference_holm_p": "p (Holm)"},
        "arm_method": "method",
        **phrases.with_ends("fresh_difference", "to rows seen less often"),
        "fresh_difference_holm_p": "p (Holm)",
        **phrases.with_ends("usual_difference", "to the usual length"),
        **{"usual_difference_holm_p": "p (Holm)", "trace": "trace"},
    }
    answer.rows = arms(runs, _TABLE)
    _equal_steps(runs, answer)
    _other_lengths(runs, answer)
    return answer


def _compared(runs: Rows, difference: str) -> Rows:
    """The arms of which a difference is known, each by its first run that has one: the other side may lack a seed."""
    return arms([row for row in runs if row[difference] is not None], _TABLE)


def _equal_steps(runs: Rows, answer: Answer) -> None:
    others = [row for row in _compared(runs, "arm_difference") if not row["is_reference"]]
    if not others:
        answer.missing.append("No two settings of one model on the same data at equal steps are scored.")
        return
    clean = _compared(runs, "fresh_difference")
    if clean:
        counts = better_and_worse(clean, "is_fresh_difference_confirmed", "fresh_difference")
        answer.short = f"Repeating few rows, compared with reading more rows less often in the same steps: {counts}."
    else:
        counts = better_and_worse(others, "is_arm_difference_confirmed", "arm_difference")
        answer.short = f"Other settings at equal steps, compared with the reference: {counts}."
    for name in dict.fromkeys(row["arm"] for row in clean):
        _repeated([row for row in clean if row["arm"] == name], answer)
    if not clean:
        answer.missing.append(
            "No arm repeats few rows where another sees more rows less often with the same batch and steps; what is "
            "compared differs in more than repetition."
        )
    pairs = {(row["fresh"], row["arm"]) for row in clean}
    batches = {row["arm"]: row["batch_size"] for row in answer.rows}
    for name in dict.fromkeys(row["arm"] for row in others if (row["arm"], row["reference"]) not in pairs):
        _setting([row for row in others if row["arm"] == name], batches, answer)


def _other_lengths(runs: Rows, answer: Answer) -> None:
    """Shorter and longer training beside the schedule that the study uses most."""
    known = _compared(runs, "usual_difference")
    for label, sign in (("Shorter", -1), ("Longer", 1)):
        mine = [row for row in known if sign * (row["total_steps"] - row["usual_steps"]) > 0]
        if mine:
            counts = better_and_worse(mine, "is_usual_difference_confirmed", "usual_difference")
            line = f"{label} training, compared with the schedule that is used most: {counts}."
            answer.short = "\n".join(filter(None, (answer.short, line)))
    for name in dict.fromkeys(row["arm"] for row in known):
        mine = sorted((row for row in known if row["arm"] == name), key=lambda row: row["position"])
        first = mine[0]
        rate = f"rate {first['lr']:.0e}, {first['decay']}".replace("e-0", "e-")
        answer.say(
            f"{'Shorter' if first['total_steps'] < first['usual_steps'] else 'Longer'} training, {first['arm']} "
            f"({first['total_steps']} steps, {rate}) against {first['usual']} ({first['usual_steps']} steps), end "
            f"against end, over {phrases.seeds(first['usual_seeds'])}: {_beyond_noise(mine, 'usual')}."
        )


def _beyond_noise(rows: Rows, name: str) -> str:
    """Where a difference is beyond noise, each with its interval."""
    counts = []
    for kind, sign in (("better", 1), ("worse", -1)):
        mine = [row for row in rows if row[f"is_{name}_difference_confirmed"] and sign * row[f"{name}_difference"] > 0]
        benchmarks = [f"{row['title']} {phrases.points_of(row, f'{name}_difference')}" for row in mine]
        counts.append(f"beyond noise {kind} on {phrases.listed(benchmarks, len(benchmarks)) or 'none'}")
    return f"{', '.join(counts)}, of {phrases.count_of(len(rows), 'benchmark')}"


def _repeated(mine: Rows, answer: Answer) -> None:
    """Few rows repeated against more rows seen less often, all else equal: the question itself, with each interval."""
    first = mine[0]
    worse = [row["title"] for row in mine if row["is_fresh_difference_confirmed"] and row["fresh_difference"] < 0]
    better = [row["title"] for row in mine if row["is_fresh_difference_confirmed"] and row["fresh_difference"] > 0]
    without = [row["title"] for row in mine if row["fresh_difference_low"] is None]
    answer.say(
        f"Repetition alone, {first['arm']} ({_passes(first['rows'], first['passes'])}) against {first['fresh']} "
        f"({_passes(first['fresh_rows'], first['fresh_passes'])}), equal in steps, batch and rows read, over "
        f"{phrases.seeds(first['fresh_seeds'])}: beyond noise better on {phrases.listed(better) or 'none'}, worse on "
        f"{phrases.listed(worse) or 'none'}, of {phrases.count_of(len(mine), 'benchmark')}"
        + (f"; no interval is known on {phrases.listed(without)}." if without else ".")
    )
    for row in sorted((row for row in mine if row["title"] not in without), key=lambda row: row["position"]):
        apart = phrases.points_of(row, "fresh_difference")
        answer.say(f"On {row['title']}, {row['arm']} against {row['fresh']}: {apart}.", row["trace"])


def _passes(rows: int, passes: float) -> str:
    return f"{rows:,} rows, {phrases.count_of(round(passes), 'pass', 'passes')}"


def _setting(mine: Rows, batches: dict[str, int], answer: Answer) -> None:
    """One setting against the reference, and where they are furthest apart."""
    first = mine[0]
    worse = [row["title"] for row in mine if row["is_arm_difference_confirmed"] and row["arm_difference"] < 0]
    better = [row["title"] for row in mine if row["is_arm_difference_confirmed"] and row["arm_difference"] > 0]
    here, there = first["batch_size"], batches.get(first["reference"])
    sizes = f", in batches of {here} against {there}" if there and there != here else ""
    answer.say(
        f"{first['arm']} ({_passes(first['rows'], first['passes'])}) against "
        f"{first['reference']} at equal steps{sizes}, over {phrases.seeds(first['seeds'])}: beyond noise worse on "
        f"{phrases.listed(worse) or 'none'}, better on {phrases.listed(better) or 'none'}, of "
        f"{phrases.count_of(len(mine), 'benchmark')}."
    )
    known = [row for row in mine if row["arm_difference_low"] is not None]
    if known:
        most = max(known, key=lambda row: abs(row["arm_difference"]))
        answer.say(f"Furthest apart on {most['title']}: {phrases.points_of(most, 'arm_difference')}.", most["trace"])
