"""Measuring the verifier: an independent second opinion, other configurations, and estimates with intervals."""
