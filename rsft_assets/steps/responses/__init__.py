"""responses/<pool>: a teacher answers every query several times; or published responses are adopted."""
