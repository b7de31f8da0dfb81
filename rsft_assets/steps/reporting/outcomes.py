"""Did it generalise, and where? Which data? What does size change?"""

from typing import TYPE_CHECKING

from rsft_assets.steps.reporting.answer import (
    GROUPS,
    OURS,
    SKILLS,
    Answer,
    Rows,
    arms,
    ask,
    count_of,
    listed,
    points,
    seeds,
)

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_ARM = {"arm": "arm", "title": "benchmark", "seeds": "seeds"}
_TABLE = "marts.data_comparison"


def generalised(db: "DuckDBPyConnection", study: str) -> Answer:
    """Gains over the base by group of benchmarks."""
    answer = Answer("generalised", "Did it generalise, and where?", figures=("data_comparison",), table=_TABLE)
    rows = arms(ask(db, f"SELECT * FROM {_TABLE} WHERE {OURS} AND gain IS NOT NULL", study), _TABLE)
    answer.columns = {
        **_ARM,
        **{"base_value": "base", "seed_mean": "score", "arm_gain": "gain", "arm_gain_low": "low"},
        **{"arm_gain_high": "high", "items": "items", "trace": "trace"},
    }
    answer.rows = rows
    if not rows:
        answer.missing.append("No run has been scored at its end beside its base yet.")
    for group, words in GROUPS.items():
        mine = [row for row in rows if row["run_group"] == group]
        if not mine:
            answer.missing.append(f"Nothing is scored {words}.")
            continue
        up = [row for row in mine if row["is_arm_gain_beyond_noise"] and row["arm_gain"] > 0]
        down = [row for row in mine if row["is_arm_gain_beyond_noise"] and row["arm_gain"] < 0]
        answer.say(
            f"{words[0].upper()}{words[1:]}: of {count_of(len(mine), 'arm-benchmark pair')}, {len(up)} gain and "
            f"{len(down)} lose beyond noise; {len(mine) - len(up) - len(down)} cannot be told from no change."
        )
        for found, surest in (
            (max(up, key=lambda row: row["arm_gain_low"], default=None), "gain"),
            (min(down, key=lambda row: row["arm_gain_high"], default=None), "loss"),
        ):
            if found:
                gain = points(found["arm_gain"], found["arm_gain_low"], found["arm_gain_high"], unit=found["unit"])
                answer.say(
                    f"The surest {surest} {words} is {found['arm']} on {found['title']}, {gain}, over {seeds(found)}.",
                    found["trace"],
                )
    _other_domains(answer, rows)
    _one_seed(answer, rows)
    return answer


def _other_domains(answer: Answer, rows: Rows) -> None:
    """Say where what counts as in domain is not what the benchmark is declared as."""
    moved = [row for row in rows if row["run_group"] != row["benchmark_group"]]
    into = list(dict.fromkeys(row["title"] for row in moved if row["run_group"] == "in-domain"))
    out = list(dict.fromkeys(row["title"] for row in moved if row["run_group"] != "in-domain"))
    if moved:
        datasets = listed(list(dict.fromkeys(row["dataset"] for row in moved)))
        answer.say(
            f"In domain is the kind of question that an arm was trained on: for {datasets} that is "
            f"{listed(into) or 'no benchmark'}, and {listed(out) or 'none'} is out of domain."
        )


def _one_seed(answer: Answer, rows: Rows) -> None:
    single = {row["arm"] for row in rows if row["seeds"] == 1}
    if single:
        answer.missing.append(
            f"{count_of(len(single), 'arm')} here {'has' if len(single) == 1 else 'have'} one training seed only: "
            "the intervals hold for these weights, not for the recipe."
        )


def which_data(db: "DuckDBPyConnection", study: str) -> Answer:
    """Sets against the reference set of the same model and schedule."""
    answer = Answer("which_data", "Which data?", figures=("data_comparison", "data_yield"), table=_TABLE)
    query = f"SELECT * FROM {_TABLE} WHERE {OURS} AND {SKILLS} AND difference IS NOT NULL AND NOT is_reference"
    rows = arms(ask(db, query, study), _TABLE)
    answer.columns = {
        **_ARM,
        **{"seed_mean": "score", "reference": "reference", "arm_difference": "difference"},
        **{"arm_difference_low": "low", "arm_difference_high": "high", "trace": "trace"},
    }
    answer.rows = rows
    if not rows:
        answer.missing.append("No two training sets are scored on one model under one schedule.")
    for dataset, reference in sorted({(row["dataset"], row["reference"]) for row in rows}):
        mine = [row for row in rows if (row["dataset"], row["reference"]) == (dataset, reference)]
        worse = [row for row in mine if row["is_arm_beyond_noise"] and row["arm_difference"] < 0]
        better = [row for row in mine if row["is_arm_beyond_noise"] and row["arm_difference"] > 0]
        answer.say(
            f"{dataset} against {reference}: worse on {len(worse)}, better on {len(better)} and not to be told "
            f"apart on {len(mine) - len(worse) - len(better)} of {count_of(len(mine), 'model-benchmark pair')}"
            + (f"; worse on {listed(_where(worse))}." if worse else ".")
        )
        known = [row for row in mine if row["arm_difference_low"] is not None]
        most = max(known, key=lambda row: max(row["arm_difference_low"], -row["arm_difference_high"]), default=None)
        if most:
            apart = points(
                most["arm_difference"], most["arm_difference_low"], most["arm_difference_high"], unit=most["unit"]
            )
            answer.say(f"Clearest on {most['title']} ({most['model']}): {apart}, over {seeds(most)}.", most["trace"])
    _one_seed(answer, rows)
    return answer


def _where(rows: Rows) -> list[str]:
    return list(dict.fromkeys(f"{row['title']} ({row['model']})" for row in rows))


def size(db: "DuckDBPyConnection", study: str) -> Answer:
    """The same recipe on models of different sizes."""
    table = "marts.capability_curves"
    answer = Answer("size", "What does the model's size change?", figures=("capability_curves",), table=table)
    rows = arms(ask(db, f"SELECT * FROM {table} WHERE {OURS} AND {SKILLS} AND gain IS NOT NULL", study), table)
    answer.columns = {
        **{"dataset": "data", "model": "model", "parameters": "parameters", "title": "benchmark", "seeds": "seeds"},
        **{"arm_gain": "gain", "arm_gain_low": "low", "arm_gain_high": "high", "best_step": "best step"},
        "trace": "trace",
    }
    groups: dict[tuple[str, ...], Rows] = {}
    for row in rows:
        key = (row["dataset"], row["schedule"], row["family"], row["mixture"], row["benchmark"])
        groups.setdefault(key, []).append(row)
    groups = {key: of for key, of in groups.items() if len({row["parameters"] for row in of}) > 1}
    answer.rows = [row for of in groups.values() for row in of]
    if not groups:
        answer.missing.append("No training set was used on two models of different size in this study.")
        return answer
    apart = []
    for of in groups.values():
        small, large = min(of, key=lambda row: row["parameters"]), max(of, key=lambda row: row["parameters"])
        ends = [row[end] for row in (small, large) for end in ("arm_gain_low", "arm_gain_high")]
        if None not in ends and (ends[1] < ends[2] or ends[3] < ends[0]):
            apart.append((small, large))
    larger = [pair for pair in apart if pair[1]["arm_gain"] > pair[0]["arm_gain"]]
    answer.say(
        f"Largest against smallest model of a family, {count_of(len(groups), 'set-benchmark pair')}: the intervals of "
        f"the two gains are apart in {len(apart)}, and there the larger model gains more in {len(larger)}."
    )
    if apart:
        small, large = max(apart, key=lambda pair: abs(pair[1]["arm_gain"] - pair[0]["arm_gain"]))
        gains = [points(r["arm_gain"], r["arm_gain_low"], r["arm_gain_high"], unit=r["unit"]) for r in (small, large)]
        answer.say(
            f"Furthest apart on {large['title']} with {large['dataset']}: {small['model']} {gains[0]}, "
            f"{large['model']} {gains[1]}.",
            large["trace"],
        )
    _one_seed(answer, answer.rows)
    return answer
