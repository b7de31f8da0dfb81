"""Failures whose words are for people: Dagster records and shows them without a stack trace."""

import sys

import dagster as dg


def failure(message: str, **metadata: dg.MetadataValue | str) -> dg.Failure:
    """A failure that says all there is to know, to be raised `from None`; another try would end the same way."""
    # Dagster formats the trace itself once the failure reaches it; only Python's own limit leaves the trace out.
    sys.tracebacklimit = 0
    return dg.Failure(description=message, metadata=metadata, allow_retries=False)


def show_traces() -> None:
    """Undo the limit that a failure left, for whatever the same process does next."""
    sys.tracebacklimit = None
