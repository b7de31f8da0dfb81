"""Attacks on what the README promises: seeded, bounded, resumable. `python -m rsft_assets_tests.proof --help`."""
