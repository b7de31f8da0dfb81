"""Do the answers grow, do they settle, and is the growth real? In: `marts.response_length`. Out: an answer."""

import math
from collections import Counter
from typing import Any

from rsft_assets.steps.report.answer import LEVEL, Answer, Rows, Tables, Test, arm
from rsft_assets.steps.report.phrases import count_of, percent, with_ends

MOST_SENTENCES = 8
"""Of arms in words; the table holds them all."""
_TABLE = "marts.response_length"
_NOTHING: Test = (0.0, 1.0, 1)
_COLUMNS = {
    **{"arm": "arm", "thinking": "thinking", "title": "benchmark", "run_group": "group", "seeds": "seeds"},
    **{"base_tokens": "base", "longest_step": "longest at step", **with_ends("longest_tokens", "tokens")},
    **{"end_step": "end step", **with_ends("end_tokens", "tokens"), **with_ends("growth", "growth to longest")},
    "growth_holm_p": "p (Holm)",
    **{"growth_settled": "of settled answers", "shorter_seeds": "seeds shorter at the end"},
    **{"truncation_rate": "cut at most", "trace": "trace"},
}


def length(tables: Tables) -> Answer:
    """Growth of the answers over the base, its causes, and whether it settles."""
    answer = Answer("length", "Do the answers grow, and is the growth real?", figures=("response_length",))
    query = f"SELECT * FROM {_TABLE} WHERE study = $study AND growth IS NOT NULL ORDER BY model, run, position, step"
    rows = tables.ask(query)
    answer.table = _TABLE
    answer.columns = _COLUMNS
    lines: dict[tuple[str, str, str], Rows] = {}
    for row in rows:
        lines.setdefault((row["arm"], row["benchmark"], row["protocol"]), []).append(row)
    answer.rows = [_line(own) for own in lines.values() if any(row["step"] > 0 for row in own)]
    if not answer.rows:
        answer.missing.append("No completions are stored for this study, so the growth cannot be split.")
        return answer
    _judge(answer.rows, tables)
    schedules = Counter(row["schedule"] for row in answer.rows)
    # The schedule of most arms first, since only so many are put in words.
    mine = sorted(
        (row for row in answer.rows if row["run_group"] == "in-domain"), key=lambda row: -schedules[row["schedule"]]
    )
    thinking = [row for row in mine if row["thinking"]]
    if thinking:
        first = thinking[0]
        answer.short = (
            f"In domain, with thinking: {first['base_tokens']:,.0f} tokens an answer at the base, "
            f"{first['longest_tokens']:,.0f} at the longest, {first['end_tokens']:,.0f} at the end "
            f"({first['arm']} on {first['title']})."
        )
    for row in thinking[:MOST_SENTENCES]:
        answer.say(_course(row), row["trace"])
    if len(thinking) > MOST_SENTENCES:
        more = count_of(len(thinking) - MOST_SENTENCES, "more arm-benchmark pair")
        answer.say(f"The table holds {more} in domain, trained with thinking.")
    _plain(answer, [row for row in mine if not row["thinking"]])
    if not mine:
        answer.missing.append("No arm has stored answers on a benchmark in domain for it.")
    _out_of_domain(answer, [row for row in answer.rows if row["run_group"] == "ood-reasoning"])
    cut = max(rows, key=lambda row: row["truncation_rate"])
    if cut["truncation_rate"] > 0:
        answer.say(
            f"At most {percent(cut['truncation_rate'])} of a checkpoint's answers to a benchmark are cut at the token "
            f"limit ({cut['run']} on {cut['title']}, {_step(cut['step'])}).",
            cut["trace"],
        )
    return answer


def _line(rows: Rows) -> dict[str, Any]:
    """One arm on one benchmark: at the base, at its longest, at its end, over the seeds that reached all of it."""
    trained = [row for row in rows if row["step"] > 0]
    seeds = max(row["seeds"] for row in trained)
    steps = {row["step"]: row for row in reversed(trained) if row["seeds"] == seeds}
    longest = max(steps.values(), key=lambda row: (row["arm_mean_tokens"], -row["step"]))
    end = max(steps.values(), key=lambda row: row["step"])
    runs: dict[str, Rows] = {}
    for row in trained:
        runs.setdefault(row["run"], []).append(row)
    growth, se = longest["arm_growth"], longest["arm_growth_se"]
    return {
        **{name: longest[name] for name in ("title", "benchmark", "run_group", "thinking", "schedule")},
        "arm": arm(longest),
        "seeds": seeds,
        "unit": "tokens",
        "base_tokens": longest["base_mean_tokens"],
        "longest_step": longest["step"],
        **{f"longest_tokens{part}": longest[f"arm_mean_tokens{part}"] for part in ("", "_low", "_high")},
        "end_step": end["step"],
        **{f"end_tokens{part}": end[f"arm_mean_tokens{part}"] for part in ("", "_low", "_high")},
        **{f"growth{part}": longest[f"arm_growth{part}"] for part in ("", "_low", "_high")},
        "growth_settled": longest["arm_growth_real"],
        # The longest of several steps is long by choice alone.
        "growth_test": (growth / se, longest["arm_growth_freedom"], len(steps)) if se else _NOTHING,
        "shorter_tests": [_shorter(own) for own in runs.values()],
        "seeds_known": len(runs),
        "truncation_rate": max(row["truncation_rate"] for row in rows),
        "trace": _trace(longest) if seeds > 1 else longest["trace"],
    }


def _shorter(rows: Rows) -> Test:
    """How much shorter one run's answers are at its end than at its longest."""
    longest = max(rows, key=lambda row: row["mean_tokens"])
    end = max(rows, key=lambda row: row["step"])
    spreads = longest["mean_tokens_se"], end["mean_tokens_se"]
    if longest is end or None in spreads or not any(spreads):
        return _NOTHING
    return (longest["mean_tokens"] - end["mean_tokens"]) / math.hypot(*spreads), end["items"] - 1, len(rows) - 1


def _judge(lines: Rows, tables: Tables) -> None:
    """Which arms grow, and in how many runs the end is shorter than the longest: Holm's method over all of either."""
    for line, p in zip(lines, tables.holm([line["growth_test"] for line in lines]), strict=True):
        line["growth_holm_p"] = p
        line["grows"] = line["growth"] > 0 and p <= LEVEL
    corrected = iter(tables.holm([test for line in lines for test in line["shorter_tests"]]))
    for line in lines:
        line["shorter_seeds"] = sum(next(corrected) <= LEVEL for _ in line["shorter_tests"])


def _trace(row: dict[str, Any]) -> str:
    names = ("model", "dataset", "schedule", "benchmark", "step")
    return f"{_TABLE}[{','.join(f'{name}={row[name]}' for name in names)}]"


def _step(step: int) -> str:
    return f"step {step}" if step else "the base"


def _tokens(row: dict[str, Any], name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    ends = "no interval" if low is None else f"95 % interval {low:,.0f} to {high:,.0f}"
    return f"{row[name]:,.0f} ({ends})"


def _course(row: dict[str, Any]) -> str:
    """Base, longest, end; whether it grew and settled; what the growth is made of."""
    sentence = f"{row['arm']} on {row['title']}: {row['base_tokens']:,.0f} tokens on average at the base, "
    if row["longest_step"] == row["end_step"]:
        sentence += f"{_tokens(row, 'end_tokens')} at the end, step {row['end_step']}, its longest"
    else:
        sentence += (
            f"{_tokens(row, 'longest_tokens')} at its longest, step {row['longest_step']}, "
            f"{_tokens(row, 'end_tokens')} at the end, step {row['end_step']}"
        )
    seeds = count_of(row["seeds_known"], "training seed")
    if row["shorter_seeds"] or row["longest_step"] != row["end_step"]:
        sentence += f"; in {row['shorter_seeds']} of {seeds} the end is shorter than the longest beyond noise"
    if not row["grows"]:
        return f"{sentence}. No growth over the base is beyond noise."
    other = row["growth"] - row["growth_settled"]
    return (
        f"{sentence}. Of the growth to the longest, {row['growth']:+,.0f} tokens, settled answers make "
        f"{row['growth_settled']:+z,.0f}, and loops, cut answers and missing end tokens {other:+z,.0f}."
    )


def _plain(answer: Answer, rows: Rows) -> None:
    """Those without thinking, in one sentence."""
    if not rows:
        return
    sentences = [
        f"{row['arm']} on {row['title']} {row['base_tokens']:,.0f}, {_tokens(row, 'longest_tokens')} and "
        f"{_tokens(row, 'end_tokens')}"
        for row in rows[:MOST_SENTENCES]
    ]
    more = f"; and {len(rows) - MOST_SENTENCES} more" if len(rows) > MOST_SENTENCES else ""
    answer.say(
        "Trained without thinking, tokens on average at the base, at the longest and at the end: "
        f"{'; '.join(sentences)}{more}.",
        rows[0]["trace"] if len(rows) == 1 else "",
    )


def _out_of_domain(answer: Answer, rows: Rows) -> None:
    """Counts, with thinking and without."""
    counts = []
    for thinking, how in ((True, "with thinking"), (False, "without")):
        mine = [row for row in rows if bool(row["thinking"]) == thinking]
        if mine:
            grown = [row for row in mine if row["grows"]]
            back = sum(row["shorter_seeds"] == row["seeds_known"] for row in grown)
            counts.append(
                f"trained {how}, in {len(grown)} of {count_of(len(mine), 'arm-benchmark pair')}"
                + (f", {back} of them shorter at the end than at the longest in every seed" if grown else "")
            )
    if counts:
        answer.say(f"On reasoning out of domain the answers grow beyond noise: {'; '.join(counts)}.")
