"""One answered question, and the rows that it is computed from."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from duckdb import DuckDBPyConnection

from rsft_assets.steps.report import phrases

Rows = list[dict[str, Any]]
Ends = tuple[Any, Any, Any]
"""A number with the ends of its interval."""
Test = tuple[float, float, int]
"""A difference in standard errors, its degrees of freedom, and of how many comparisons it was picked."""
LEVEL = 0.05
# Where there is nothing of ours, the paper's own numbers are answered from, and said to be.
SOURCE = """
    source = (SELECT CASE WHEN count(*) FILTER (WHERE source = 'ours') > 0 THEN 'ours' ELSE 'paper' END
              FROM staging.score_points WHERE study = $study AND step > 0)"""
OURS = f"{SOURCE} AND (source = 'paper' OR grader = 'strict') AND is_headline AND study = $study"
SKILLS = "benchmark_group <> 'safety'"
"""Of harm more is worse, so safety has a question of its own."""
MOST = 6
"""Numbers in one sentence, or sentences of one kind; the tables beneath hold the rest."""
GROUPS = {"in-domain": "in domain", "ood-reasoning": "on out-of-domain reasoning", "general": "on general skills"}


@dataclass
class Answer:
    """A question with its answer in sentences, the figure and the rows that it was computed from."""

    name: str
    question: str
    sentences: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """What there is not, or what could not be decided, said plainly."""
    figures: tuple[str, ...] = ()
    columns: dict[str, str] = field(default_factory=dict)
    """Column -> heading."""
    rows: Rows = field(default_factory=list)
    table: str = ""
    """Results table of the rows."""
    traces: dict[str, str] = field(default_factory=dict)
    """Sentence -> what its numbers stand on, as `rsft trace` takes it."""
    short: str = ""
    """The answer in a sentence or a few lines, for who reads no further."""

    def say(self, sentence: str, trace: str = "") -> None:
        """Add a sentence, and what its numbers stand on where it speaks of one row."""
        self.sentences.append(sentence)
        if trace:
            self.traces[sentence] = trace


@dataclass(frozen=True)
class Tables:
    """The results tables, asked about one study."""

    db: DuckDBPyConnection
    study: str

    def ask(self, query: str) -> Rows:
        """Rows of one query, as dictionaries; `$study` is the study."""
        cursor = self.db.execute(query, {"study": self.study})
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def holm(self, tests: Sequence[Test]) -> list[float]:
        """The p value of each test after Holm's correction for all of them, by the macros of the SQL."""
        t, freedom, picked = (list(column) for column in zip(*tests, strict=True))
        query = """
            WITH tests AS (
                SELECT unnest(range(len($t))) AS id, unnest($t) AS t, unnest($freedom) AS freedom,
                    unnest($picked) AS picked
            ),
            single AS (SELECT id, picked * student_p(t, freedom) AS p FROM tests)
            SELECT holm(p, list({p: p, id: id}) OVER ()) FROM single ORDER BY id"""
        return [row[0] for row in self.db.execute(query, {"t": t, "freedom": freedom, "picked": picked}).fetchall()]


def difference_of(one: Ends, other: Ends) -> Ends | None:
    """`one` minus `other` with an interval made of both (MOVER, which takes them as unrelated); None without both.

    Two models that answer the same items go up and down together, so it is rather too wide than too narrow.
    """
    (a, a_low, a_high), (b, b_low, b_high) = one, other
    if a is None or b is None or None in (a_low, a_high, b_low, b_high):
        return None
    apart: float = a - b
    return apart, apart - math.hypot(a - a_low, b_high - b), apart + math.hypot(a_high - a, b - b_low)


def arms(rows: Rows, table: str) -> Rows:
    """One row for each arm (model, set, schedule) and benchmark; its `trace` leads to every training seed of it."""
    names = ("source", "model", "dataset", "schedule", "benchmark", "grader", "metric")
    by_arm: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: row["seed"]):
        by_arm.setdefault(tuple(row[name] for name in names), {**row, "arm": arm(row)})
    for row in by_arm.values():
        if (row.get("seeds") or 1) > 1:
            row["trace"] = f"{table}[{','.join(f'{name}={row[name]}' for name in names)}]"
    return list(by_arm.values())


def arm(row: dict[str, Any]) -> str:
    """An arm's name: that of its first run."""
    return f"{row['model']}_{row['dataset']}_{row['schedule']}"


def better_and_worse(rows: Rows, clear: str, change: str) -> str:
    """In how many comparisons a change is clear, and which way."""
    up = sum(bool(row[clear]) and row[change] > 0 for row in rows)
    down = sum(bool(row[clear]) and row[change] < 0 for row in rows)
    return f"better in {up or 'none'} and worse in {down or 'none'} of {phrases.count_of(len(rows), 'comparison')}"


def one_seed(answer: Answer, rows: Rows) -> None:
    """Say of how many arms only one training seed is known."""
    single = {row["arm"] for row in rows if row["seeds"] == 1}
    if single:
        answer.missing.append(
            f"{phrases.count_of(len(single), 'arm')} here {'has' if len(single) == 1 else 'have'} one training seed "
            "only: the intervals hold for these weights, not for the recipe."
        )
