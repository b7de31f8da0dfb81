"""Processes: running a step as a program, its events, and starting and ending its child processes."""
