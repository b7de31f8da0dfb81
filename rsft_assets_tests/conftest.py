"""Settings of all tests.

Property tests draw the same examples every time, so that a fresh machine sees what CI saw. To look for new ones:

    pytest --hypothesis-profile fuzz [-m ''] PATH

What that finds becomes an `@example` of its test.
"""

import signal
import threading

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("fuzz", deadline=None, max_examples=2_000, print_blob=True)
settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def sigterm_as_it_was():
    """Dagster gives SIGTERM the handler of SIGINT after a run in this process; xdist's workers ignore SIGINT."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)
