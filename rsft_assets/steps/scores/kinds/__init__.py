"""Kinds of benchmarks, one file each: how a published row becomes an item, the prompt, the grader and its metrics."""
