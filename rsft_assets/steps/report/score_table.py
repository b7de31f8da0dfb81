"""The scores of a study in one table: an arm in each row, a benchmark in each column, from the base to the end."""

import html
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rsft_assets.steps.report.answer import SKILLS, SOURCE, Tables, arms

_END = "marts.data_comparison"
_SAFETY = "marts.safety_tradeoff"
_NAMES = ("model", "trained on", "schedule")
NOTE = (
    "Score of the base → score at the end of training, in %, the mean over training seeds; reward models in their own "
    "unit. ▲ and ▼: better and worse than the base at 95 %, after Holm's correction over arms and benchmarks."
)


@dataclass(frozen=True)
class Cell:
    """One arm on one benchmark."""

    text: str
    mark: str = ""
    """▲, ▼ or nothing."""
    interval: str = ""


@dataclass(frozen=True)
class ScoreTable:
    """Headings, and for each arm its name in three columns and its cells."""

    headings: list[str]
    lines: list[tuple[tuple[str, str, str], list[Cell]]]

    def markdown(self) -> str:
        """For Dagster's metadata."""
        rows = [[*_NAMES, *self.headings], ["---"] * (3 + len(self.headings))]
        rows += [[*names, *(f"{cell.text} {cell.mark}".strip() for cell in cells)] for names, cells in self.lines]
        return "\n".join(f"| {' | '.join(row)} |" for row in rows) + f"\n\n{NOTE}\n"

    def as_html(self) -> str:
        """For the report."""
        head = "".join(f"<th class=t>{name}</th>" for name in _NAMES)
        head += "".join(f"<th>{html.escape(heading)}</th>" for heading in self.headings)
        body = "".join(
            "<tr>" + "".join(f"<td class=t>{html.escape(name)}</td>" for name in names) + _cells(cells) + "</tr>"
            for names, cells in self.lines
        )
        return (
            f"<p class=small>{html.escape(NOTE)} The pointer on a number shows the interval of its change.</p>"
            f'<div class="scroll scores"><table><tr>{head}</tr>{body}</table></div>'
        )


def _cells(cells: list[Cell]) -> str:
    classes = {"▲": " class=up", "▼": " class=down"}
    return "".join(
        f'<td{classes.get(cell.mark, "")} title="{html.escape(cell.interval)}">'
        f"{html.escape(f'{cell.text} {cell.mark}'.strip())}</td>"
        for cell in cells
    )


def score_table(tables: Tables) -> ScoreTable:
    """Skills first, then what each safety benchmark counts; arms with thinking and of most benchmarks first."""
    where = f"{SOURCE} AND (source = 'paper' OR grader = 'strict') AND study = $study"
    query = f"SELECT * FROM {_END} WHERE {where} AND is_headline AND {SKILLS} AND gain IS NOT NULL ORDER BY position"
    skills = [_skill(row) for row in arms(tables.ask(query), _END)]
    query = f"""
        SELECT *, safety_benchmark AS benchmark, safety_base_value AS base_value FROM {_SAFETY}
        WHERE {where} AND reading IN ('harm', 'forbidden requests answered') AND harm IS NOT NULL"""
    safety = [_harm(row) for row in arms(tables.ask(query), _SAFETY)]
    columns = list(dict.fromkeys(column for _, column, _ in (*skills, *safety)))
    cells: dict[tuple[str, str, str], dict[str, Cell]] = {}
    for names, column, cell in (*skills, *safety):
        cells.setdefault(names, {})[column] = cell
    ordered = sorted(cells.items(), key=lambda line: (line[0][0], -len(line[1]), line[0][2], line[0][1]))
    lines = [(names, [known.get(column, Cell("–")) for column in columns]) for names, known in ordered]
    return ScoreTable(columns, lines)


def _skill(row: dict[str, Any]) -> tuple[tuple[str, str, str], str, Cell]:
    gain = row["arm_gain"]
    base = row["seed_mean"] - gain
    sign = (-1 if row["lower_is_better"] else 1) * gain
    cell = _cell(base, row["seed_mean"], sign, row["is_arm_gain_confirmed"], _ends(row, "arm_gain"), row["unit"])
    return _names(row), str(row["title"]), cell


def _harm(row: dict[str, Any]) -> tuple[tuple[str, str, str], str, Cell]:
    change = -row["arm_harm"] if row["is_fall"] else row["arm_harm"]
    base = row["base_value"]
    worse = row["arm_harm"]
    cell = _cell(base, base + change, -worse, row["is_arm_harm_confirmed"], _ends(row, "arm_harm"), row["unit"])
    what = row["metric"] if row["reading"] == "harm" else row["reading"]
    return _names(row), f"{row['benchmark']}: {what}", cell


def _names(row: dict[str, Any]) -> tuple[str, str, str]:
    return str(row["model"]), str(row["dataset"]), str(row["schedule"])


def _ends(row: dict[str, Any], name: str) -> tuple[Any, Any]:
    return row[f"{name}_low"], row[f"{name}_high"]


def _cell(base: float, end: float, better: float, clear: Any, ends: tuple[Any, Any], unit: Any) -> Cell:
    number: Callable[[float], str] = (lambda v: f"{100 * v:z.0f}") if unit == "share" else (lambda v: f"{v:z.2f}")
    scale, what = (100, " points") if unit == "share" else (1, "")
    low, high = ends
    interval = "" if low is None else f"{scale * low:+z.1f} to {scale * high:+z.1f}{what}"
    mark = ("▲" if better > 0 else "▼") if clear else ""
    return Cell(f"{number(base)} → {number(end)}", mark, interval)
