"""benchmarks/<benchmark>: items, locked by count and hash."""
