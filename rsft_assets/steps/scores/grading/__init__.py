"""Prompts and graders of the benchmarks, one task each; `tasks.task(name)` finds one."""
