"""Failures whose words are for people."""

import multiprocessing
import sys

import dagster as dg


def failure(words: str, **metadata: dg.MetadataValue | str) -> dg.Failure:
    """A failure that says all there is to know, to be raised `from None`; another try would end the same way.

    Dagster writes the traceback of the raise into the run's page, over the words that follow. It is left out where this
    process makes one step only and ends with it, which is how runs launched in the UI work.
    """
    if multiprocessing.parent_process() is not None:
        sys.tracebacklimit = 0
    return dg.Failure(description=words, metadata=metadata, allow_retries=False)
