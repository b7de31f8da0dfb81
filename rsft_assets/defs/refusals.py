"""Failures that a message explains: Dagster records and shows them without a stack trace."""

import sys
from typing import Any

import dagster as dg


def refusal(message: str, metadata: dict[str, Any] | None = None) -> dg.Failure:
    """The failure to raise, `from None`. It would be the same next time, so Dagster does not retry it."""
    # Dagster formats the trace itself once the failure reaches it; only Python's own limit leaves the trace out.
    sys.tracebacklimit = 0
    return dg.Failure(description=message, metadata=metadata, allow_retries=False)


def show_traces() -> None:
    """Undo the limit that a refusal left, for whatever the same process does next."""
    sys.tracebacklimit = None
