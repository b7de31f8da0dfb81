"""A row of a results table, or a point of a figure, as the start of a trace."""

import csv
from typing import Any

from rsft_assets.specs.errors import SpecError, StepError, nearest
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.study import Study
from rsft_assets.steps.figures.catalogue import FIGURES
from rsft_assets.steps.figures.draw import read_receipt
from rsft_assets.steps.questions.tracing.down import Downwards
from rsft_assets.steps.questions.tracing.links import current_node
from rsft_assets.steps.questions.tracing.node import Node
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.results.behind import behind
from rsft_assets.steps.results.publishing import open_results
from rsft_assets.steps.results.sql_files import SqlTable
from rsft_assets.steps.results.sql_files import tables as sql_tables

_MOST = 5


def _conditions(where: str) -> dict[str, str]:
    filters = {}
    for part in filter(None, where.split(",")):
        name, equals, value = part.partition("=")
        if not equals:
            raise SpecError(f"{part!r} is not column=value; separate several with commas")
        filters[name.strip()] = value.strip()
    return filters


def of_table(study: Study, store: Store, what: str, where: str, *, content: bool = False) -> Node:
    """A table's SQL and what it reads; with `where`, its rows and what each stands on."""
    name = what.removeprefix("results/").replace("/", ".")
    known = {entry.table: entry for entry in sql_tables()}
    if name not in known:
        raise SpecError(f"unknown table {what!r}: {nearest(name, known)}")
    node = _table_node(known[name])
    _say_behind(store, node)
    if not where:
        return node.add(*(_table_node(known[up]) for up in known[name].depends_on if up in known))
    conditions = _conditions(where)
    with open_results(store) as db:
        columns = [row[0] for row in db.execute(f"DESCRIBE {name}").fetchall()]
        for column in conditions:
            if column not in columns:
                raise SpecError(f"{name} has no column {column!r}: {nearest(column, columns)}")
        tests = " AND ".join(f'"{column}"::VARCHAR = ?' for column in conditions)
        cursor = db.execute(f"SELECT * FROM {name} WHERE {tests} LIMIT {_MOST + 1}", list(conditions.values()))
        rows = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
    return _with_rows(study, store, node, rows, where, content=content)


def _table_node(entry: SqlTable) -> Node:
    facts = {"holds": entry.description, "grain": ", ".join(entry.grain), "reads": entry.reads, "file": str(entry.path)}
    return Node(entry.table, "rows", facts)


def _say_behind(store: Store, node: Node) -> None:
    if stale := behind(store):
        node.facts["note"] = stale


def of_figure(study: Study, store: Store, what: str, where: str, *, content: bool = False) -> Node:
    """A figure's receipt; with `where`, the points that it holds and what each stands on."""
    known = {figure.key: figure for figure in FIGURES}
    if what not in known:
        raise SpecError(f"unknown figure {what!r}: {nearest(what, known)}")
    node, output = current_node(store, Ref(what), content=content)
    if output is None:
        node.problem = "not drawn yet; draw it: rsft materialize " + what
        return node
    if node.problem:
        return node
    _say_behind(store, node)
    receipt = read_receipt(output)
    node.facts |= {"reads": receipt["reads"], "drawn for": receipt["drawn"]}
    if not where:
        traces = {study_name: len(traced) for study_name, traced in receipt["traces"].items()}
        node.facts["numbers stand on outputs"] = traces
        return node
    conditions, rows = _conditions(where), []
    for study_name in receipt["drawn"]:
        with output.file(f"{study_name}.csv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                for column in conditions:
                    if column not in row:
                        raise SpecError(f"{what} has no column {column!r}: {nearest(column, row)}")
                if all(row[column] == value for column, value in conditions.items()):
                    rows.append(row)
    return _with_rows(study, store, node, rows, where, content=content)


def _with_rows(
    study: Study, store: Store, node: Node, rows: list[dict[str, Any]], where: str, *, content: bool
) -> Node:
    if not rows:
        drawn = "folder" in node.facts
        look = f"its rows: {node.facts['folder']}/*.csv" if drawn else f"look with: SELECT * FROM {node.title}"
        raise StepError(f"{node.title} has no row where {where}; {look}")
    if len(rows) > _MOST:
        node.facts["more"] = f"more than {_MOST} rows where {where}; name more columns to see the others"
    walk = Downwards(study, store, content=content)
    for i, row in enumerate(rows[:_MOST]):
        node_of_row = Node(f"row {i + 1}", "row", {k: v for k, v in row.items() if v not in (None, "")})
        place = str(row.get("trace") or "")
        if place.endswith("]"):
            asset, _, partition = place[:-1].partition("[")
            node_of_row.add(walk.of(Ref(asset, partition)))
        elif row.get("source") == "paper":
            node_of_row.add(Node(f"published: {place}", "text", {"note": "the paper's number; nothing here made it"}))
        node.add(node_of_row)
    return node
