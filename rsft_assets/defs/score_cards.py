"""What the page of a score shows first: its number, the curve of its run and a few answers."""

from typing import Any

import dagster as dg

from rsft_assets.defs.asset_cards import literal
from rsft_assets.defs.pages import curve_url, embedded, home_of, trace_url
from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.study import Study
from rsft_assets.steps.questions.score_answers import Answer, first_answers
from rsft_assets.steps.questions.score_curve import Point, base_point, point_of, shown
from rsft_assets.steps.records.store import Output, Store
from rsft_assets.steps.results.outputs_found import completions_place

_SHOWN = ("state", "reason", "value", "low", "high", "examples")
_QUESTION_CHARS, _ANSWER_CHARS = 300, 600


def score_card(study: Study, score: Output) -> dict[str, Any]:
    """Metadata in the order of the page; empty for what is no score or has no number."""
    ref = score.manifest.ref
    if ref.stage != "scores" or (point := point_of(score)) is None:
        return {}
    store = Store(home_of(score))
    base = base_point(study, store, ref) if ref.step else None
    picture = embedded(curve_url(store.home, ref), "score by step")
    origin = f"[what it was made from]({trace_url(store.home, ref)})"
    facts: dict[str, Any] = {
        "score": dg.MetadataValue.md(f"{_number(study, ref, point, base)}\n\n{picture}\n\n{origin}"),
        **{"value": point.value, "low": point.low, "high": point.high},
    }
    if base is not None:
        facts["change from base"] = round(point.value - base.value, 6)
    if answers := _answers(study, store, score):
        facts["first answers"] = dg.MetadataValue.md(answers)
    # In one value: the UI plots every number by itself.
    details = {key: value for key, value in score.stats.items() if key not in _SHOWN}
    return facts | {"details": {**details, "completions": completions_place(score.stats)}}


def _number(study: Study, ref: Ref, point: Point, base: Point | None) -> str:
    low, high = (shown(study, ref, end) for end in (point.low, point.high))
    text = f"**{shown(study, ref, point.value)}** (95 % interval {low} to {high})"
    if base is None:
        return f"{text}{'; the base has no score yet' if ref.step else ', the base model'}"
    change = point.value - base.value
    sign = "+" if change >= 0 else "−"
    by = shown(study, ref, abs(change)).replace("%", "points")
    return f"{text}, {sign}{by} from the base's {shown(study, ref, base.value)}"


def _answers(study: Study, store: Store, score: Output) -> str:
    try:
        answers = first_answers(store, study.benchmarks[score.manifest.ref.benchmark], score)
    except (StepError, OSError) as error:
        # The score stands without them.
        return literal(str(error))
    if not answers:
        return ""
    # Not a table: its columns would be wider than the page.
    return "\n\n".join(
        f"**Question {number}** {_text(answer.question, _QUESTION_CHARS)}\n\n"
        f"**Answer** {_text(answer.answer, _ANSWER_CHARS)}\n\n**Verdict** {_verdict(answer)}"
        for number, answer in enumerate(answers, 1)
    )


def _verdict(answer: Answer) -> str:
    if answer.verdict == "correct" or not answer.gold:
        return answer.verdict
    return f"{answer.verdict}; reference: {_text(answer.gold, _QUESTION_CHARS)}"


def _text(text: str, most: int) -> str:
    """A text as it is; of a long one the start and the end, which says what an answer came to."""
    if len(text) <= most:
        return literal(text)
    half = most // 2
    return literal(f"{text[:half]} … (cut: {len(text) - 2 * half:,} characters left out) … {text[-half:]}")
