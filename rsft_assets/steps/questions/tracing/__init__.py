"""Following a number to its origin, and an origin to its numbers, from manifests and rows alone."""
