"""Parts of an answer: what follows the thinking, and the contents of its boxes; and forms to put them in."""

import re
from collections import deque
from collections.abc import Mapping

THINK_CLOSE = "</think>"
THINK_OPEN = "<think>"
_BOX = re.compile(r"\\boxed *+\{")
_BRACE = re.compile(r"[{}]")
_SPACES = re.compile(r"\s*")
_LONGEST_BOX = 4_000
"""A longer one is no answer."""


def answer_part(text: str) -> str | None:
    """What follows the last `</think>`; all of a text that never thought; None where thinking never ended."""
    closed = text.rfind(THINK_CLOSE)
    if text.rfind(THINK_OPEN) > closed:
        return None
    return text if closed < 0 else text[closed + len(THINK_CLOSE) :]


def graded_part(text: str, grader: str) -> str | None:
    """What a rule looks at: `strict` what follows the last `</think>`, `authors` the whole text."""
    return answer_part(text) if grader == "strict" else text


def judged_part(text: str, grader: str) -> str | None:
    """What a judge is shown. Of thinking that never ended: nothing under `strict`, all after any earlier thinking under
    `authors`.
    """
    answer = answer_part(text)
    if answer is None and grader == "authors":
        answer = text.rpartition(THINK_CLOSE)[2]
    return None if answer is None else answer.strip()


def without_thinking(text: str) -> str:
    """What the authors' IFEval, HaluEval and TruthfulQA look at: whole thoughts are cut out, then all up to a close.

    What was said before a whole thought stays, and thinking that never ended is not cut.
    """
    for close in (THINK_CLOSE, "<|/think|>"):
        kept, place = [], 0
        while (opened := text.find(THINK_OPEN, place)) >= 0 and (end := text.find(close, opened)) >= 0:
            kept.append(text[place:opened])
            spaces = _SPACES.match(text, end + len(close))
            place = spaces.end() if spaces else len(text)
        text = "".join([*kept, text[place:]]).strip().rpartition(close)[2].lstrip()
    return text


def filled(form: str, parts: Mapping[str, object]) -> str:
    """A form with its `{parts}` put in. Not by str.format: braces in a part stay what they are."""
    return re.sub(r"\{(\w+)\}", lambda match: str(parts[match[1]]), form)


def boxes(text: str) -> list[str]:
    """Contents of every `\\boxed{…}` whose braces close, in order; a box inside a box comes after its outer one."""
    openings = {match.end() - 1: 0 for match in _BOX.finditer(text)}
    # A brace that this many others follow is too far from its end; so a text of open boxes costs its length only.
    unclosed: deque[int] = deque(maxlen=_LONGEST_BOX)
    for brace in _BRACE.finditer(text, next(iter(openings), len(text))):
        place = brace.start()
        if brace[0] == "{":
            unclosed.append(place)
        elif unclosed and place - (opening := unclosed.pop()) < _LONGEST_BOX and opening in openings:
            openings[opening] = place
    return [text[opening + 1 : end] for opening, end in openings.items() if end]
