"""Do the answers grow, do they settle, and is the growth real?"""

import math
from typing import TYPE_CHECKING, Any

from rsft_assets.steps.reporting.answer import Answer, Rows, ask, count_of, percent

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def length(db: "DuckDBPyConnection", study: str) -> Answer:
    """Growth of the answers over the base, its causes, and whether it settles."""
    answer = Answer("length", "Do the answers grow, and is the growth real?", figures=("response_length",))
    rows = ask(db, "SELECT * FROM marts.response_length WHERE study = $study AND growth IS NOT NULL", study)
    answer.table = "marts.response_length"
    answer.columns = {
        **{"run": "run", "title": "benchmark", "step": "step", "mean_tokens": "tokens", "growth": "growth"},
        **{"growth_low": "low", "growth_high": "high", "growth_real": "settled", "growth_loops": "loops"},
        **{"growth_cut": "cut", "growth_no_end_token": "no end token", "truncation_rate": "truncated"},
        "trace": "trace",
    }
    if not rows:
        answer.missing.append("No completions are stored for this study, so the growth cannot be split.")
        return answer
    lines: dict[tuple[str, str], Rows] = {}
    for row in rows:
        lines.setdefault((row["run"], row["benchmark"]), []).append(row)
    peaks = [max(of, key=lambda row: row["mean_tokens"]) for of in lines.values()]
    answer.rows = peaks
    _settling(lines, peaks, answer)
    most = max(peaks, key=lambda row: row["growth"])
    words = (
        f"The longest answers are {most['mean_tokens']:.0f} tokens on average, {most['run']} on {most['title']} at "
        f"step {most['step']}, {_tokens(most)} over its base"
    )
    if most["growth"] > 0:
        real = min(1.0, max(0.0, most["growth_real"] / most["growth"]))
        words += f"; {percent(1 - real)} of that growth is loops, cut answers and missing end tokens, the rest settled"
    answer.say(f"{words}.", most["trace"])
    cut = max(rows, key=lambda row: row["truncation_rate"])
    answer.say(
        f"The token limit cuts most answers of {cut['run']} on {cut['title']} at step {cut['step']}: "
        f"{percent(cut['truncation_rate'])}.",
        cut["trace"],
    )
    return answer


def _tokens(row: dict[str, Any]) -> str:
    words = f"{row['growth']:+.0f} tokens"
    if row["growth_low"] is None:
        return f"{words} (no interval)"
    return f"{words} (95 % interval {row['growth_low']:+.0f} to {row['growth_high']:+.0f})"


def _settling(lines: dict[tuple[str, str], Rows], peaks: Rows, answer: Answer) -> None:
    """How many trajectories surge, and how many of those are shorter again at their end, beyond noise."""
    grown, settled = 0, 0
    for peak, of in zip(peaks, lines.values(), strict=True):
        if peak["growth_low"] is None or peak["growth_low"] <= 0:
            continue
        grown += 1
        end = max(of, key=lambda row: row["step"])
        spread = 1.96 * math.hypot(peak["mean_tokens_se"], end["mean_tokens_se"])
        settled += end["step"] > peak["step"] and peak["mean_tokens"] - end["mean_tokens"] > spread
    answer.say(
        f"In {grown} of {count_of(len(lines), 'trajectory', 'trajectories')} the answers grow beyond noise over the "
        f"base; in {settled} of these they are shorter again at the end than at their longest, beyond noise."
    )
