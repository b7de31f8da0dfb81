"""Judging answers: gold and response in, one of four verdicts with a reason out.

`verifier.Verifier` is the public face; `python -m rsft_assets.steps.verify_file IN OUT` runs it over a file.
"""
