r"""The places in a text that math-verify would read an answer from, in its order, found without scanning all of it.

Comes in: a text. Goes out: match objects of math-verify's own patterns, lazily, in exactly the order in which its
`parse` tries them: by priority, then the rightmost end, then the leftmost start.

Why the outcome is the same. A pattern that must begin with a literal can only match where that literal stands, so
trying it there, left to right and never inside the last match, finds what a scan finds. A formula pattern that must
hold `\boxed{` can only begin at an opening delimiter from which the box is reached before the matching close, and only
if that close exists; `_formula_starts` drops a start only when one of these necessary conditions fails. What no literal
anchors is scanned by math-verify's own patterns, but from the end and in stretches cut where no match can cross.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from importlib.metadata import version
from typing import Any

from math_verify import ExprExtractionConfig, LatexExtractionConfig
from math_verify.parser import get_extraction_regexes

KNOWN_VERSIONS = {"math-verify": "0.9.0", "latex2sympy2_extended": "1.11.0", "antlr4-python3-runtime": "4.13.2"}

Found = tuple[re.Match[str], Any]
Finder = Callable[[re.Pattern[str], str], Iterable[re.Match[str]]]

Group = tuple[tuple[re.Pattern[str], Any, Finder], ...]

STRETCH = 1_000
"""Characters from the end of a text that are looked at first where nothing in it anchors an answer."""

_LINE_START = re.compile(r"\n\s*[A-OQ-Z]")
_BOX = r"\boxed{"
_LIKE_ASCII = (("İ", "i"), ("ı", "i"), ("ſ", "s"), ("\u212a", "k"))
_OPENING = re.compile(r"\$|\\\[|\\\(|\s\[")
_INLINE_END = re.compile(r"[\n$]|\\\$")
_BRACKET_END = re.compile(r"[\n\[\]]")


def is_known_version() -> bool:
    """Whether the shorter ways here and in `formulas` were written for what is installed."""
    return all(version(name) == known for name, known in KNOWN_VERSIONS.items())


def candidates(text: str) -> Iterator[Found]:
    """Every match that `math_verify.parse` would try on a text, best first."""
    *anchored, unanchored = _groups()
    for group in anchored:
        yield from _best_first([(match, target) for pattern, target, find in group for match in find(pattern, text)])
    yield from _unanchored(unanchored, text)


def _best_first(matches: list[Found]) -> list[Found]:
    return sorted(matches, key=lambda pair: (pair[0].end(), -pair[0].start()), reverse=True)


def _unanchored(group: Group, text: str) -> Iterator[Found]:
    """The candidates of a text without box or the word answer, from its end, a stretch at a time."""
    end = len(text) + 1
    for cut in _cuts(text):
        matches = []
        for pattern, target, _ in group:
            for match in pattern.finditer(text, cut):
                if match.start() >= end:
                    break
                matches.append((match, target))
        yield from _best_first(matches)
        end = cut


def _cuts(text: str) -> Iterator[int]:
    r"""Places that no unanchored match contains, right to left, then the start.

    A capital (no P) that begins a line: numbers and joined formulas hold none, inline formulas do not cross lines, and
    \[ is closed before it. Where $$ occurs there is no such place.
    """
    stretch = STRETCH
    place = len(text) - stretch if "$$" not in text else 0
    opened = len(text)
    while (place := text.rfind("\n", 0, max(place, 0))) > 0:
        while opened >= place:
            opened = text.rfind(r"\[", 0, opened)
        if opened >= 0 and text.find(r"\]", opened, place) < 0:
            place = opened
        elif begun := _LINE_START.match(text, place):
            yield begun.end() - 1
            # A search from a place may run to the end of the text, so the stretches grow.
            stretch *= 2
            place -= stretch
    yield 0


@lru_cache(maxsize=1)
def _groups() -> tuple[Group, ...]:
    """Patterns by priority; within one priority in math-verify's order, which decides ties."""
    finders = {
        0: (_after_final_answer_with_hope,) * 2,
        50: (_after_final_answer, _boxed_formulas, _bare_box, _after_final_answer),
        100: (_after_answer,) * 2,
        200: (_after_answer,) * 2,
        300: (_everywhere,) * 3,
    }
    patterns = [
        (priority, pattern, target)
        for compiled, target in get_extraction_regexes([LatexExtractionConfig(), ExprExtractionConfig()])
        for pattern, priority in compiled
    ]
    return tuple(
        tuple(
            (pattern, target, finder)
            for (_, pattern, target), finder in zip(
                (entry for entry in patterns if entry[0] == priority), finders[priority], strict=True
            )
        )
        for priority in sorted(finders)
    )


def _everywhere(pattern: re.Pattern[str], text: str) -> Iterable[re.Match[str]]:
    return pattern.finditer(text)


def _after_final_answer_with_hope(pattern: re.Pattern[str], text: str) -> Iterable[re.Match[str]]:
    starts = _starts("final answer", text)
    return _at(pattern, text, starts) if starts and text.find("I hope", starts[0]) >= 0 else ()


def _after_final_answer(pattern: re.Pattern[str], text: str) -> Iterable[re.Match[str]]:
    return _at(pattern, text, _starts("final answer", text))


def _after_answer(pattern: re.Pattern[str], text: str) -> Iterable[re.Match[str]]:
    return _at(pattern, text, _starts("answer", text))


def _boxed_formulas(pattern: re.Pattern[str], text: str) -> Iterable[re.Match[str]]:
    return _at(pattern, text, _formula_starts(text))


def _bare_box(pattern: re.Pattern[str], text: str) -> Iterable[re.Match[str]]:
    r"""`\boxed{.+}` runs from the first box to the last brace, so there is one match or none."""
    start = text.find(_BOX)
    match = pattern.match(text, start) if start >= 0 and text.rfind("}") > start + len(_BOX) else None
    return (match,) if match else ()


def _at(pattern: re.Pattern[str], text: str, starts: Iterable[int]) -> Iterator[re.Match[str]]:
    end = 0
    for start in starts:
        if start >= end and (match := pattern.match(text, start)):
            end = match.end()
            yield match


@lru_cache(maxsize=2)
def _starts(literal: str, text: str) -> list[int]:
    """Where a literal stands, in any case, left to right."""
    lowered = _lowered(text)
    starts = []
    start = lowered.find(literal)
    while start >= 0:
        starts.append(start)
        start = lowered.find(literal, start + len(literal))
    return starts


@lru_cache(maxsize=1)
def _lowered(text: str) -> str:
    # Without regard to case, a pattern's i, s and k also match these four; no other character changes its length.
    if not text.isascii():
        for char, ascii_char in _LIKE_ASCII:
            text = text.replace(char, ascii_char)
    return text.lower()


def _formula_starts(text: str) -> Iterator[int]:
    """Where a formula with a box in it may begin, left to right."""
    searched = 0
    box = text.find(_BOX)
    while box >= 0:
        for opening in _OPENING.finditer(text, max(searched, _reach(text, box)), box):
            if _may_hold_box(text, opening.start(), opening.group(), box):
                yield opening.start()
        searched, box = box, text.find(_BOX, box + 1)


def _reach(text: str, box: int) -> int:
    r"""The leftmost place from which a formula runs up to a box: none crosses its close, only \[ and $$ cross lines."""
    reach = text.rfind("\n", 0, box) - 1
    if (display := text.find(r"\[", max(text.rfind(r"\]", 0, box), 0), box)) >= 0:
        reach = min(reach, display)
    if (dollars := text.rfind("$$", 0, box)) >= 0:
        reach = min(reach, dollars - 1)
    return max(reach, 0)


def _may_hold_box(text: str, start: int, opening: str, box: int) -> bool:
    r"""Whether a formula opened at `start` has its close after a box that holds something and a brace."""
    if opening == "$":
        return _holds(text, box, _inline_end(text, start + 1)) or (
            text.startswith("$$", start) and _holds(text, box, text.find("$$", start + 2))
        )
    if opening == r"\[":
        return _holds(text, box, text.find(r"\]", start + 2))
    if opening == r"\(":
        newline = text.find("\n", start + 2)
        return _holds(text, box, text.find(r"\)", start + 2, newline if newline >= 0 else len(text)))
    end = _BRACKET_END.search(text, start + 2)
    return end is not None and end.group() == "]" and _holds(text, box, end.start())


def _inline_end(text: str, start: int) -> int:
    for end in _INLINE_END.finditer(text, start):
        if end.group() != r"\$":
            return end.start() if end.group() == "$" else -1
    return -1


def _holds(text: str, box: int, end: int) -> bool:
    # At least one character stands in the box before a closing brace, the brace before the formula's close.
    return end >= 0 and text.rfind("}", box + len(_BOX) + 1, end) >= 0
