"""What grading shared by all kinds of benchmarks needs; `tasks.task(name)` finds a kind, whose file is in `kinds`."""
