"""Judging answers: gold and response in, one of four verdicts with a reason out.

`verifier.Verifier` is the interface; `rsft verify IN OUT` runs it over a file.
"""
