"""Did it generalise, and where? Which data? What does size change? What did it cost in safety?"""

from typing import TYPE_CHECKING

from rsft_assets.steps.reporting.answer import Answer, Rows, ask, count_of, listed, points
from rsft_assets.steps.reporting.training import _SKILLS, _SOURCE

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_AGAINST_REFERENCE = f"""
    SELECT * FROM marts.data_comparison
    WHERE {_SOURCE} AND {_SKILLS} AND difference IS NOT NULL AND NOT is_reference"""
_GROUPS = {"in-domain": "in domain", "ood-reasoning": "on out-of-domain reasoning", "general": "on general skills"}
_COLUMNS = {
    **{"run": "run", "title": "benchmark", "base_value": "base", "value": "score", "gain": "gain"},
    **{"gain_low": "low", "gain_high": "high", "items": "items", "trace": "trace"},
}


def generalised(db: "DuckDBPyConnection", study: str) -> Answer:
    """Gains over the base by group of benchmarks."""
    answer = Answer("generalised", "Did it generalise, and where?", figures=("data_comparison",))
    rows = ask(db, f"SELECT * FROM marts.data_comparison WHERE {_SOURCE} AND gain IS NOT NULL", study)
    answer.table, answer.columns, answer.rows = "marts.data_comparison", _COLUMNS, rows
    if not rows:
        answer.missing.append("No run has been scored at its end beside its base yet.")
    for group, words in _GROUPS.items():
        mine = [row for row in rows if row["benchmark_group"] == group]
        if not mine:
            answer.missing.append(f"Nothing is scored {words}.")
            continue
        up = [row for row in mine if row["is_gain_beyond_noise"] and row["gain"] > 0]
        down = [row for row in mine if row["is_gain_beyond_noise"] and row["gain"] < 0]
        answer.sentences.append(
            f"{words[0].upper()}{words[1:]}: of {count_of(len(mine), 'run-benchmark pair')}, {len(up)} gain and "
            f"{len(down)} lose beyond noise; {len(mine) - len(up) - len(down)} cannot be told from no change."
        )
        best = max(up, key=lambda row: row["gain_low"], default=None)
        if best:
            gain = points(best["gain"], best["gain_low"], best["gain_high"], unit=best["unit"])
            answer.sentences[-1] += f" The surest gain is {best['run']} on {best['title']}, {gain}."
    return answer


def which_data(db: "DuckDBPyConnection", study: str) -> Answer:
    """Sets against the reference set of the same model and schedule."""
    answer = Answer("which_data", "Which data?", figures=("data_comparison", "data_yield"))
    rows = ask(
        db,
        _AGAINST_REFERENCE,
        study,
    )
    answer.table = "marts.data_comparison"
    answer.columns = {
        **{
            "run": "run",
            "title": "benchmark",
            "value": "score",
            "reference_run": "reference",
            "difference": "difference",
        },
        **{"difference_low": "low", "difference_high": "high", "seeds": "seeds", "seed_lowest": "lowest seed"},
        **{"seed_highest": "highest seed", "trace": "trace"},
    }
    answer.rows = rows
    if not rows:
        answer.missing.append("No two training sets are scored on one model under one schedule.")
    for dataset in sorted({row["dataset"] for row in rows}):
        mine = [row for row in rows if row["dataset"] == dataset]
        worse = [row for row in mine if row["beyond_noise"] and row["difference"] < 0]
        better = [row for row in mine if row["beyond_noise"] and row["difference"] > 0]
        reference = mine[0]["reference_run"].split("_")[1]
        answer.sentences.append(
            f"{dataset} against {reference}: worse on {len(worse)}, better on {len(better)} and not to be told "
            f"apart on {len(mine) - len(worse) - len(better)} of {count_of(len(mine), 'model-benchmark pair')}"
            + (f"; worse on {listed(_where(worse))}." if worse else ".")
        )
    single = {row["run"] for row in rows if row["seeds"] == 1}
    if single:
        answer.missing.append(
            f"{count_of(len(single), 'run')} of these {'has' if len(single) == 1 else 'have'} one training seed only: "
            "the intervals hold for these weights, not for the recipe."
        )
    return answer


def _where(rows: Rows) -> list[str]:
    return list(dict.fromkeys(f"{row['title']} ({row['model']})" for row in rows))


def size(db: "DuckDBPyConnection", study: str) -> Answer:
    """The same recipe on models of different sizes."""
    answer = Answer("size", "What does the model's size change?", figures=("capability_curves",))
    rows = ask(db, f"SELECT * FROM marts.capability_curves WHERE {_SOURCE} AND {_SKILLS} AND gain IS NOT NULL", study)
    answer.table = "marts.capability_curves"
    answer.columns = {
        **{"dataset": "data", "model": "model", "parameters": "parameters", "title": "benchmark", "gain": "gain"},
        **{"gain_low": "low", "gain_high": "high", "best_step": "best step", "trace": "trace"},
    }
    groups: dict[tuple[str, str, str], Rows] = {}
    for row in rows:
        groups.setdefault((row["dataset"], row["schedule"], row["benchmark"]), []).append(row)
    groups = {key: of for key, of in groups.items() if len({row["model"] for row in of}) > 1}
    answer.rows = [row for of in groups.values() for row in of]
    if not groups:
        answer.missing.append("No training set was used on two models of this study.")
        return answer
    larger, apart = 0, 0
    for of in groups.values():
        small, large = min(of, key=lambda row: row["parameters"]), max(of, key=lambda row: row["parameters"])
        known = None not in (small["gain_high"], small["gain_low"], large["gain_high"], large["gain_low"])
        if known and (small["gain_high"] < large["gain_low"] or large["gain_high"] < small["gain_low"]):
            apart += 1
            larger += large["gain"] > small["gain"]
    answer.sentences.append(
        f"Largest against smallest model, {count_of(len(groups), 'set-benchmark pair')}: the intervals of the two "
        f"gains are apart in {apart}, and there the larger model gains more in {larger}."
    )
    return answer


def safety(db: "DuckDBPyConnection", study: str) -> Answer:
    """Harm beside the reasoning gain."""
    answer = Answer("safety", "What did it cost in safety?", figures=("safety_tradeoff",))
    rows = ask(db, f"SELECT * FROM marts.safety_tradeoff WHERE {_SOURCE} AND state = 'available'", study)
    answer.table = "marts.safety_tradeoff"
    answer.columns = {
        **{"run": "run", "thinking": "thinking", "reasoning_gain": "reasoning gain", "safety_benchmark": "benchmark"},
        **{"metric": "metric", "harm": "harm", "harm_low": "low", "harm_high": "high", "trace": "trace"},
    }
    answer.rows = rows
    if not rows:
        answer.missing.append("Not available: no run of this study has both a reasoning and a safety score.")
        return answer
    for thinking, words in ((True, "trained with thinking"), (False, "trained without thinking")):
        mine = [row for row in rows if bool(row["thinking"]) == thinking]
        if not mine:
            answer.missing.append(f"No run {words} has a safety score.")
            continue
        hurt = [row for row in mine if row["is_harm_beyond_noise"] and row["harm"] > 0]
        worst = max(mine, key=lambda row: row["harm"])
        harm = points(worst["harm"], worst["harm_low"], worst["harm_high"], unit=worst["unit"])
        answer.sentences.append(
            f"Of {count_of(len(mine), 'run')} {words}, {len(hurt)} became less safe beyond noise; "
            f"the worst, {worst['run']}, by {harm}."
        )
    return answer
