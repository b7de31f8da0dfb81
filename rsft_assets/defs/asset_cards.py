"""A step's stats as Markdown for the asset's page."""

from collections.abc import Callable
from typing import Any

from rsft_assets.specs.lineage import Ref

Stats = dict[str, Any]
_BAR = 24
ON_CARDS = ("filters", "length_histogram", "sample_rows")
"""Stats that cards show in full."""
_LITERAL = {ord(sign): f"&#{ord(sign)};" for sign in "&<>|\\`*_[]~$#"}
"""Texts are escaped: a `<think>` would be read as HTML and disappear, LaTeX as emphasis."""


def card(ref: Ref, stats: Stats) -> str | None:
    """Markdown for one output, None where its stage has no card."""
    write = _CARDS.get(ref.stage)
    return write(stats) if write else None


def _table(heads: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    return literal(str(value))


def literal(text: str) -> str:
    """Markdown that shows a text as it is, in one line."""
    return text.translate(_LITERAL).replace("\n", " ⏎ ")


def _dataset(stats: Stats) -> str:
    parts = [f"**{stats.get('rows', 0):,} rows**"]
    if mix := stats.get("verdicts"):
        parts.append("Verdicts: " + ", ".join(f"{name} {count:,}" for name, count in mix.items()))
    if "shared_queries" in (like := stats.get("like", {})):
        parts.append(
            f"**{like['shared_queries']:,} rows answer queries of `{like['dataset']}`**, {like['other_queries']:,} "
            "others fill the set, in random order"
        )
    if filters := stats.get("filters"):
        parts.append(_filters(filters))
    if histogram := stats.get("length_histogram"):
        parts.append("Response length in characters:\n\n" + _histogram(histogram))
    if len(solutions := stats.get("solutions", {})) > 1:
        parts.append("Solutions from " + ", ".join(f"`{source}` ({rows} rows)" for source, rows in solutions.items()))
    if unchecked := stats.get("decontamination", {}).get("unchecked"):
        parts.append(f"**Not checked for contamination** (no access): {', '.join(map(str, unchecked))}")
    # Not a table: its columns would be wider than the page.
    for row in stats.get("sample_rows", ()):
        parts += [f"**{name.capitalize()}** {literal(str(row[name]))}" for name in ("question", "answer", "response")]
    return "\n\n".join(parts)


def _histogram(bins: list[dict[str, int]]) -> str:
    most = max(entry["rows"] for entry in bins)
    rows = [(entry["from"], "█" * max(1, round(_BAR * entry["rows"] / most)), entry["rows"]) for entry in bins]
    return _table(("from", "", "rows"), rows)


def _queries(stats: Stats) -> str | None:
    filters = stats.get("filters")
    return _filters(filters) if filters else None


def _filters(filters: list[dict[str, Any]]) -> str:
    return _table(("filter", "removed", "left"), [(f["filter"], f["removed"], f["left"]) for f in filters])


def _verdicts(stats: Stats) -> str:
    rows = stats.get("rows") or 1
    mix = [(name, count, f"{100 * count / rows:.1f} %") for name, count in stats.get("verdicts", {}).items()]
    reasons = [(name, count, f"{100 * count / rows:.1f} %") for name, count in stats.get("reasons", {}).items()]
    return _table(("verdict", "responses", "share"), mix) + "\n\n" + _table(("reason", "responses", "share"), reasons)


def _access(stats: Stats) -> str | None:
    if stats.get("access") != "none" and stats.get("state") != "no-access":
        return None
    return f"**No access**: {_cell(stats['reason'])}"


_CARDS: dict[str, Callable[[Stats], str | None]] = {
    "datasets": _dataset,
    "queries": _queries,
    "verdicts": _verdicts,
    "benchmarks": _access,
    "scores": _access,
}
