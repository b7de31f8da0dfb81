"""Settings of all tests.

Property tests draw the same examples every time, so that a fresh machine sees what CI saw. To look for new ones:

    pytest --hypothesis-profile fuzz [-m ''] PATH

What that finds becomes an `@example` of its test.
"""

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("fuzz", deadline=None, max_examples=2_000, print_blob=True)
settings.load_profile("repeatable")
