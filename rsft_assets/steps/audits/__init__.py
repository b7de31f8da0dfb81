"""audits/<pool>: how far verdicts can be trusted, from a second opinion on a sample."""
