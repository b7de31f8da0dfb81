"""Numbers, lists and intervals in words."""

from typing import Any


def with_ends(column: str, heading: str) -> dict[str, str]:
    """Headings of a number and of the ends of its interval."""
    return {column: heading, f"{column}_low": "low", f"{column}_high": "high"}


def capitalised(text: str) -> str:
    return text[0].upper() + text[1:]


def percent(value: float | None, digits: int = 1) -> str:
    return "not known" if value is None else f"{100 * value:z.{digits}f} %"


def p_value(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def points(value: float | None, low: float | None = None, high: float | None = None, *, unit: str = "share") -> str:
    """A difference in percentage points (or raw for rewards), with its interval where there is one."""
    if value is None:
        return "not known"
    scale, word = (100, " points") if unit == "share" else (1, "")
    number = f"{scale * value:+z.1f}{word}" if unit == "share" else f"{value:+z.2f}"
    if low is None or high is None:
        return f"{number} (no interval)"
    if unit == "share":
        # A share cannot change by more than all of it.
        low, high = max(low, -1.0), min(high, 1.0)
    ends = f"{scale * low:+z.1f} to {scale * high:+z.1f}" if unit == "share" else f"{low:+z.2f} to {high:+z.2f}"
    return f"{number} (95 % interval {ends})"


def points_of(row: dict[str, Any], column: str) -> str:
    """The same for a column of a row, whose interval stands in `<column>_low` and `<column>_high`."""
    return points(row[column], row[f"{column}_low"], row[f"{column}_high"], unit=row["unit"])


def count_of(number: int, noun: str, plural: str = "") -> str:
    """1 run, 2 runs, no run."""
    return f"{number or 'no'} {noun if number <= 1 else plural or noun + 's'}"


def seeds(number: int | None) -> str:
    """How many training seeds a number stands on; of what was published one is known."""
    return "one training seed" if (number or 1) == 1 else f"{number} training seeds"


def seeds_of(rows: list[dict[str, Any]]) -> str:
    """The same for several numbers."""
    numbers = sorted({row["seeds"] for row in rows})
    return seeds(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]} training seeds"


def listed(names: list[str], most: int = 5) -> str:
    shown = names[:most]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(shown) + more
