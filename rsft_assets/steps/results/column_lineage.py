"""Which column comes from which: resolved from the SQL, given the columns of what it reads."""

from collections.abc import Mapping
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, build_scope

Sources = dict[str, tuple[tuple[str, str], ...]]
"""Column -> the (schema.table, column) pairs that its value is made from."""


def column_lineage(sql: str, schema: Mapping[str, Mapping[str, str]]) -> Sources:
    """Origins of every output column; `schema` maps `schema.table` to its columns and types."""
    nested: dict[str, Any] = {}
    for name, columns in schema.items():
        above, table = name.split(".")
        nested.setdefault(above, {})[table] = dict(columns)
    query: Any = qualify(
        sqlglot.parse_one(sql, dialect="duckdb"),
        schema=nested,
        dialect="duckdb",
        validate_qualify_columns=False,
        quote_identifiers=False,
    )
    scope = build_scope(query)
    if scope is None:
        return {}
    names = [name for name in query.named_selects if name]
    return {name: tuple(sorted(_origins(scope, i, {}))) for i, name in enumerate(names)}


def _origins(scope: Scope, index: int, seen: dict[tuple[int, int], set[tuple[str, str]]]) -> set[tuple[str, str]]:
    """Origins of the `index`-th column of a query; a recursive query meets itself and adds nothing new."""
    key = (id(scope), index)
    if key in seen:
        return seen[key]
    origins = seen[key] = set()
    query: Any = scope.expression
    for branch in scope.set_operation_scopes:
        origins |= _origins(branch, index, seen)
    if not scope.set_operation_scopes and index < len(query.selects):
        origins |= _of_expression(scope, query.selects[index], seen)
    return origins


def _of_expression(
    scope: Scope, expression: exp.Expression, seen: dict[tuple[int, int], set[tuple[str, str]]]
) -> set[tuple[str, str]]:
    origins: set[tuple[str, str]] = set()
    for column in expression.find_all(exp.Column):
        source = _source(scope, column.table)
        if isinstance(source, exp.Table):
            origins.add((f"{source.db}.{source.name}", column.name))
        elif isinstance(source, Scope):
            inner: Any = source.expression
            selects = inner.named_selects
            if column.name in selects:
                origins |= _origins(source, selects.index(column.name), seen)
    return origins


def _source(scope: Scope, name: str) -> exp.Table | Scope | None:
    """What a column's table is, also where the column stands in a subquery of this query."""
    if name in scope.sources:
        return scope.sources[name]
    return next((source for inner in scope.subquery_scopes if (source := _source(inner, name)) is not None), None)
