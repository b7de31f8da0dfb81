"""WHAT an experiment is: frozen dataclasses and literal tables, standard library only."""
