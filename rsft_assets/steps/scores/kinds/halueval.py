"""HaluEval: is what is shown hallucinated, Yes or No; right where the last such word of the answer says so.

`strict`: only what follows the thinking counts. `authors` (halueval/utils.py at 3378e2b): thinking is cut as in
`without_thinking`; where no word Yes or No is left, the first line of the whole output counts if just one of "yes" and
"no" is in it, as letters: "does not contain" says No.
"""

import hashlib
import json
import re
from collections.abc import Iterator

from rsft_assets.specs.benchmarks import Benchmark
from rsft_assets.specs.errors import StepError, Unavailable
from rsft_assets.steps.scores.grading.task import VOTED, Grade, Item, Locked, Published, Sample, Task, each
from rsft_assets.steps.scores.grading.text import answer_part, filled, without_thinking

_WORD = re.compile(r"\b(yes|no)\b", re.IGNORECASE)
_COLUMNS = {
    "qa": ("answer", ("knowledge", "question")),
    "dialogue": ("response", ("knowledge", "dialogue_history")),
    "summarization": ("summary", ("document",)),
}
_ROLES = {
    "qa": ("an answer judge", "a question and an answer", "answer"),
    "dialogue": ("a response judge", "a dialogue history and a response", "response"),
    "summarization": ("a summary judge", "a document and a summary", "summary"),
}
_FIELDS = {
    "qa": "#Knowledge: {knowledge}\n#Question#: {question}\n#Answer#: {shown}\n#Your Judgement#:",
    "dialogue": (
        "#Knowledge: {knowledge}\n#Dialogue History#: {dialogue_history}\n#Response#: {shown}\n#Your Judgement#:"
    ),
    "summarization": "#Document#: {document}\n#Summary#: {shown}\n#Your Judgement#:",
}


def items(published: Published) -> Iterator[Locked]:
    """gold is Yes (hallucinated) or No; fields: subtask, shown, and the columns that its prompt needs.

    The configurations `<subtask>_samples` show one answer each and say what it is. Where only the pairs are
    to be had, the row's own hash decides which of the two is shown.
    """
    for subtask, (what, context) in _COLUMNS.items():
        try:
            rows = list(published.rows(config=f"{subtask}_samples"))
        except Unavailable:
            raise
        except StepError:
            rows = list(published.rows(config=subtask))
        for row in rows:
            fields = {"subtask": subtask, **{name: row[name] for name in context}}
            if "hallucination" in row:
                shown, hallucinated = row[what], str(row["hallucination"]).lower() == "yes"
            else:
                drawn = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).digest()
                hallucinated = drawn[7] % 2 == 1
                shown = row[f"hallucinated_{what}" if hallucinated else f"right_{what}"]
            yield Locked(str(row[context[-1]]), "Yes" if hallucinated else "No", subtask, {**fields, "shown": shown})


def prompt(item: Item, benchmark: Benchmark) -> str:
    """The authors' instruction, its slips in grammar included: the text is part of the measurement."""
    subtask = str(item.fields["subtask"])
    role, given, what = _ROLES[subtask]
    instruction = (
        f"I want you act as {role}. Given {given}, your objective is to determine if the provided {what} "
        "contains non-factual or hallucinated information. You SHOULD give your judgement based on the following "
        "hallucination types and the world knowledge.\n"
        f"You should try your best to determine if the {what} contains non-factual or hallucinated information. "
        'The answer you give MUST be "Yes" or "No"".'
    )
    return f"{instruction}\n\n{filled(_FIELDS[subtask], item.fields)}"


def said(text: str, grader: str) -> tuple[str | None, str]:
    """(Yes or No, how it was found)."""
    part = answer_part(text) if grader == "strict" else without_thinking(text)
    if part is None:
        return None, "think-not-closed"
    words = _WORD.findall(part)
    if words:
        return words[-1].capitalize(), "last-word"
    if grader == "authors":
        line = text.strip().partition("\n")[0].lower()
        first = [word for word in ("Yes", "No") if word.lower() in line]
        if len(first) == 1:
            return first[0], "first-line"
    return None, "no-answer"


def grade_one(sample: Sample, grader: str) -> list[Grade]:
    answer, how = said(sample.text, grader)
    return [Grade("accuracy", float(answer == sample.item.gold), how, answer)]


TASK = Task(prompt, each(grade_one), (VOTED,), items)
