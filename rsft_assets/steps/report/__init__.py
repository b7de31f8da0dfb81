"""report: questions answered in sentences that are computed from the results tables."""
