"""Whether a response can be a training row: its thinking tags, its summary, its box."""

import re

OPEN, CLOSE = "<think>", "</think>"
_THOUGHT = re.compile(r"\s*<think>.*?</think>\s*", re.DOTALL)


def problem_with_response(text: str, *, thinking: bool, box: bool) -> str | None:
    """Why a response cannot be a row, one of a fixed list; None if it can."""
    if thinking:
        if text.count(OPEN) != 1 or not text.lstrip().startswith(OPEN):
            return "thinking-tags"
        if text.count(CLOSE) != 1:
            return "thinking-not-closed" if CLOSE not in text else "thinking-tags"
    elif OPEN in text or CLOSE in text:
        return "thinking-tags"
    summary = summary_of(text)
    if not summary.strip():
        return "no-summary"
    return "no-box" if box and "\\boxed{" not in summary else None


def summary_of(text: str) -> str:
    """What follows the thinking."""
    return text.rpartition(CLOSE)[2]


def without_thinking(text: str) -> str:
    """The response without its `<think>` part and the white space around that."""
    return _THOUGHT.sub("", text, count=1)
