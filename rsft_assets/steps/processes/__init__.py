"""Processes: how a step runs as a program, what it says while it does, and how whatever it started ends."""
