"""What did it cost in safety? And is it the thinking that costs it, or the training?"""

from typing import TYPE_CHECKING

from rsft_assets.steps.reporting.answer import OURS, Answer, Rows, arms, ask, count_of, points, seeds

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_TABLE = "marts.safety_tradeoff"


def safety(db: "DuckDBPyConnection", study: str) -> Answer:
    """Harm beside the reasoning gain, arm by arm, and beside the twin without thinking."""
    answer = Answer("safety", "What did it cost in safety?", figures=("safety_tradeoff",), table=_TABLE)
    query = f"SELECT *, safety_benchmark AS benchmark FROM {_TABLE} WHERE {OURS} AND state = 'available'"
    rows = arms(ask(db, query, study), _TABLE)
    for row in rows:
        row["trace"] = row["trace"].replace(",benchmark=", ",safety_benchmark=")
    answer.columns = {
        **{"arm": "arm", "thinking": "thinking", "seeds": "seeds", "arm_reasoning_gain": "reasoning gain"},
        **{"arm_reasoning_gain_low": "low", "arm_reasoning_gain_high": "high", "benchmark": "benchmark"},
        **{"metric": "metric", "arm_harm": "harm", "arm_harm_low": "low", "arm_harm_high": "high"},
        **{"harm_over_twin": "over twin", "harm_over_twin_low": "low", "harm_over_twin_high": "high"},
        "trace": "trace",
    }
    answer.rows = rows
    if not rows:
        answer.missing.append("Not available: no run of this study has both a reasoning and a safety score.")
        return answer
    for thinking, words in ((True, "trained with thinking"), (False, "trained without thinking")):
        mine = [row for row in rows if bool(row["thinking"]) == thinking]
        if not mine:
            answer.missing.append(f"No arm {words} has a safety score.")
            continue
        hurt = [row for row in mine if row["is_arm_harm_beyond_noise"] and row["arm_harm"] > 0]
        worst = max(mine, key=lambda row: row["arm_harm"])
        harm = points(worst["arm_harm"], worst["arm_harm_low"], worst["arm_harm_high"], unit=worst["unit"])
        answer.say(
            f"Of {count_of(len(mine), 'arm')} {words}, {len(hurt)} became less safe beyond noise; "
            f"the worst, {worst['arm']}, by {harm}, over {seeds(worst)}.",
            worst["trace"],
        )
    _twins(answer, rows)
    return answer


def _twins(answer: Answer, rows: Rows) -> None:
    """The same rows with thinking and without: what thinking itself costs."""
    pairs = [row for row in rows if row["harm_over_twin"] is not None]
    if not pairs:
        answer.missing.append(
            "No arm has a scored twin on the same rows without thinking, so the part of thinking cannot be told from "
            "that of training."
        )
        return
    more = [row for row in pairs if row["is_harm_over_twin_beyond_noise"] and row["harm_over_twin"] > 0]
    less = [row for row in pairs if row["is_harm_over_twin_beyond_noise"] and row["harm_over_twin"] < 0]
    most = max(pairs, key=lambda row: abs(row["harm_over_twin"]))
    apart = points(most["harm_over_twin"], most["harm_over_twin_low"], most["harm_over_twin_high"], unit=most["unit"])
    answer.say(
        f"Beside the same rows without thinking, thinking does more harm beyond noise in {len(more)}, less in "
        f"{len(less)} of {count_of(len(pairs), 'arm')}; furthest apart is {most['arm']}, by {apart}: that much is the "
        "thinking, the rest is training as such.",
        most["trace"],
    )
