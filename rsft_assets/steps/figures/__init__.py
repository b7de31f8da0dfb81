"""Figures: what is drawn from which results table, and how it looks."""
