"""Math answers judged as math-verify judges them, without doing anything twice.

Comes in: gold and a text. Goes out: verdict, extracted answer, reason. The verdict is that of
`verify(parse(f"${gold}$"), parse(text))` with no time limit inside: limits are enforced on the process from outside,
which is told before each step what is about to be done.

What is saved, and why the verdict stays the same: gold is read once; a candidate is read once whatever text it stands
in, since math-verify's reading depends on the candidate alone; a comparison is made once per gold and candidate; where
the texts of gold and answer are equal, math-verify's comparison of texts already says so, and nothing is compared
symbolically; two exact numbers are equal or not.
"""

import re
from collections.abc import Callable, Hashable
from dataclasses import replace
from hashlib import blake2b
from typing import Any, NamedTuple

from latex2sympy2_extended.latex2sympy2 import convert_to_pct, normalize_latex
from latex2sympy2_extended.math_normalization import extract_boxed_content
from math_verify import LatexExtractionConfig, parse, verify
from math_verify.parser import extract_match
from sympy import Rational

from rsft_assets.steps.verdicts.verifier.candidates import candidates, is_known_version
from rsft_assets.steps.verdicts.verifier.formulas import read_formula
from rsft_assets.steps.verdicts.verifier.memory_errors import Undecided

GOLD, ANSWER, CANDIDATE, COMPARISON = range(1, 5)
"""The steps that are announced; a candidate is part of reading an answer and has no time of its own."""

Before = Callable[[int, bytes], None]
Decision = tuple[str, str | None, str]

_WITHOUT_BOXES = replace(LatexExtractionConfig().normalization_config, boxed="none")
_LONGEST_KEY = 2_000
_KEPT = 8_192


class Reading(NamedTuple):
    """What `parse` returns: a value to compare and the text that comes last in its list."""

    value: Any = None
    text: str | None = None
    """Text of the first candidate that has one; math-verify compares texts as well as values."""
    shown: str | None = None
    """Text of the candidate that became the value."""
    key: Hashable = None
    """Names the candidate, so that it is compared once; None where it is too long to keep."""
    settled: str | None = None
    """The text, where the very first candidate was a formula and became the value."""


class MathJudge:
    """Judges one answer after the other; fastest where the answers to one gold come together.

    `before` is called with the kind of step and a digest of what it works on; it may raise `Undecided`.
    """

    def __init__(self, before: Before = lambda step, digest: None) -> None:
        self._before = before
        self._fast = is_known_version()
        self._golds: dict[str, Reading] = {}
        self._contents: dict[str, str] = {}
        self._values: dict[Hashable, Any] = {}
        self._equalities: dict[Hashable, bool] = {}

    def judge(self, gold: str, text: str) -> Decision:
        """Verdict, extracted answer and reason."""
        if not gold.strip():
            return "unparseable", None, "gold-missing"
        reference = self._golds.get(gold)
        if reference is None:
            self._before(GOLD, digest(gold))
            reference = _keep(self._golds, gold, self._read(f"${gold}$", None))
        self._before(ANSWER, b"")
        reading = self._read(text, reference.settled)
        return self._decide(gold, reference, reading)

    def _decide(self, gold: str, reference: Reading, reading: Reading) -> Decision:
        shown = reading.shown or reading.text
        if reading.value is None and reading.text is None:
            return "unparseable", None, "no-answer"
        if _same_text(reference.text, reading.text) or self._same_value(gold, reference, reading):
            return "correct", shown, "equal"
        if reference.value is None:
            return "unparseable", shown, "gold-unreadable"
        return "wrong", shown, "answer-unread" if reading.value is None else "different"

    def _same_value(self, gold: str, reference: Reading, reading: Reading) -> bool:
        if reference.value is None or reading.value is None:
            return False
        if isinstance(reference.value, Rational) and isinstance(reading.value, Rational):
            return bool(reference.value == reading.value)
        key = (gold, reading.key)
        if reading.key is None or key not in self._equalities:
            self._before(COMPARISON, digest(repr(key)) if reading.key is not None else b"")
            equal = verify(reference.value, reading.value, timeout_seconds=None)
            return bool(_keep(self._equalities, key if reading.key is not None else None, equal))
        return self._equalities[key]

    def _read(self, text: str, settled: str | None) -> Reading:
        """`settled`: a first candidate of this text need not be read, its value is known to exist."""
        try:
            return self._read_candidates(text, settled) if self._fast else _read_slowly(text)
        except MemoryError as error:
            raise Undecided("memory") from error
        except Exception:  # whatever fails here makes math-verify's parse return nothing
            return Reading()

    def _read_candidates(self, text: str, settled: str | None) -> Reading:
        first_text: str | None = None
        for number, (match, target) in enumerate(candidates(text)):
            content, percent = _formula(match) if isinstance(target, LatexExtractionConfig) else (None, False)
            if content is None:
                key: Hashable = (id(match.re), match.groups())
                value, shown = self._joined_or_plain(match, target, key)
            else:
                shown = self._normalized(content)
                if number == 0 and shown == settled:
                    return Reading(text=shown)
                key = (shown, percent)
                value = self._value(shown, percent)
            first_text = first_text or shown or None
            if value is not None:
                is_settled = number == 0 and content is not None
                key = key if len(shown) < _LONGEST_KEY and len(match.group()) < _LONGEST_KEY else None
                return Reading(value, first_text, shown, key, shown if is_settled else None)
        return Reading(text=first_text)

    def _joined_or_plain(self, match: re.Match[str], target: Any, key: Hashable) -> tuple[Any, str]:
        if key not in self._values:
            self._before(CANDIDATE, digest(match.group()))
            short = len(match.group()) < _LONGEST_KEY
            extracted: tuple[Any, str] = _keep(self._values, key if short else None, extract_match(match, target))
            return extracted
        known: tuple[Any, str] = self._values[key]
        return known

    def _normalized(self, content: str) -> str:
        known = self._contents.get(content)
        if known is None:
            known = normalize_latex(content, config=_WITHOUT_BOXES)
            _keep(self._contents, content if len(content) < _LONGEST_KEY else None, known)
        return known

    def _value(self, normalized: str, percent: bool) -> Any:
        key = (normalized, percent)
        if key not in self._values:
            self._before(CANDIDATE, digest(normalized))
            value = _formula_value(normalized, percent)
            return _keep(self._values, key if len(normalized) < _LONGEST_KEY else None, value)
        return self._values[key]


def digest(text: str) -> bytes:
    """Names what a step works on, in 16 bytes."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _keep(memory: dict[Any, Any], key: Hashable, value: Any) -> Any:
    if key is not None:
        if len(memory) >= _KEPT:
            del memory[next(iter(memory))]
        memory[key] = value
    return value


def _same_text(gold: str | None, text: str | None) -> bool:
    return bool(gold and text and gold.strip() and gold.strip() == text.strip())


def _formula(match: re.Match[str]) -> tuple[str | None, bool]:
    """What is in the box of a single formula (all of it without a box); None for formulas joined by and, or, comma."""
    groups = match.groupdict()
    latex: str | None = None
    for name, value in groups.items():
        if not value or "latex" not in name:
            continue
        if latex is not None:
            return None, False
        latex, mode = value, "last" if name == "first_latexBoxed" else "all"
    if latex is None:
        return None, False
    return extract_boxed_content(latex, mode), bool(groups.get("first_percent"))


def _formula_value(normalized: str, percent: bool) -> Any:
    """The value of a formula, None where the grammar refuses it."""
    try:
        value = read_formula(normalized)
        return convert_to_pct(value) if percent else value
    except MemoryError:
        raise
    except Exception:  # math-verify takes any failure of its grammar for "no value"
        return None


def _read_slowly(text: str) -> Reading:
    """By math-verify's own `parse`, for versions whose order of candidates is not known here."""
    parsed = parse(text, parsing_timeout=None)
    fallback = next((part for part in parsed if isinstance(part, str)), None)
    value = next((part for part in parsed if not isinstance(part, str)), None)
    return Reading(value, fallback, fallback)
